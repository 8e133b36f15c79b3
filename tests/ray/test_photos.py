import jax.numpy as jnp
import numpy as np
import pytest

from nerf.ray import photos
from nerf.ray.cameras import Camera
from nerf.ray.photos import PhotoNumbers, adjust_camera, adjust_colour

CAMERA = Camera(jnp.eye(3, 4), jnp.eye(3), jnp.int32(4), jnp.int32(4), jnp.float32(1), jnp.float32(2))


@pytest.fixture
def members(monkeypatch):
    shift = PhotoNumbers(3, camera=lambda camera, t: camera.replace(camera_to_world=camera.camera_to_world.at[:, 3].add(t)))
    members = {'shift': shift, 'gain': PhotoNumbers(1, start=1.0, colour=lambda rgb, g: g[0] * rgb)}
    for name, numbers in members.items():
        monkeypatch.setitem(photos.PHOTO_NUMBERS, name, numbers)


def test_each_number_changes_its_own_place(members):
    photo = {'shift': jnp.array([1.0, 2.0, 3.0]), 'gain': jnp.array([0.5])}
    np.testing.assert_array_equal(adjust_camera(CAMERA, photo).camera_to_world[:, 3], [1, 2, 3])
    np.testing.assert_array_equal(adjust_colour(jnp.array([0.2, 0.4, 1.0]), photo), jnp.array([0.1, 0.2, 0.5]))


def test_a_view_that_is_no_photo_is_left_as_it_is(members):
    for photo in (None, {}):
        assert adjust_camera(CAMERA, photo) is CAMERA
        rgb = jnp.array([0.2, 0.4, 1.0])
        assert adjust_colour(rgb, photo) is rgb
