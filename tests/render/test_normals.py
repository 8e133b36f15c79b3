import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from nerf import lifting
from nerf.ray import compositing
from nerf.ray.cameras import Camera, cast
from nerf.ray.structs import Level
from nerf.render.image import Renderer
from nerf.render.maps import pixel_maps

CENTRE = np.array([0.2, -0.1, -3.0])


def on_device(tree):
    return jax.tree.map(jnp.asarray, tree)


def camera(ndc=None):
    near, far = (1.0, 6.0) if ndc is None else (0.0, 1.0)
    turn, c = np.eye(3), np.cos(0.1)
    turn[[0, 0, 2, 2], [0, 2, 0, 2]] = c, np.sin(0.1), -np.sin(0.1), c
    pose = np.concatenate([turn, [[0.3], [0.1], [0.2]]], axis=1).astype(np.float32)
    lens = np.array([[80.0, 0, 8], [0, 80.0, 8], [0, 0, 1]], np.float32)
    size = np.int32(16)
    return Camera(pose, lens, size, size, np.float32(near), np.float32(far), ndc=ndc)


class Ball(nn.Module):
    """Density that falls off around a centre in the world, known in the world or in NDC."""

    is_ndc: bool = False
    LEVELS = ()
    END_SWITCHES = ()

    @nn.compact
    def __call__(self, ray, key=None, progress=1.0, photo=None):
        self.param('strength', nn.initializers.constant(20.0), ())
        t = jnp.linspace(ray.near, ray.far, 401)
        middles = 0.5 * (t[1:] + t[:-1])
        density = lifting.over_samples(lambda t: self.density(ray.origin + t * ray.direction, 0.1))(middles)
        weights = compositing.weights(density, compositing.lengths(t, ray.direction))
        return [Level(s=t, t=t, density=density, rgb=jnp.full((400, 3), 0.5), weights=weights)]

    def density(self, point, width):
        if self.is_ndc:
            z = 2 / jnp.minimum(point[2] - 1, -1e-6)
            point = jnp.stack([-point[0] * z / 2.0, -point[1] * z / 3.0, z])
        return 20 * jax.nn.sigmoid((1.0 - jnp.sqrt(jnp.sum((point - CENTRE) ** 2))) / 0.02) * (width > 0)


@pytest.mark.parametrize('is_ndc', [False, True])
def test_normals_of_a_ball_are_its_radii(is_ndc):
    view = camera(np.array([2.0, 3.0], np.float32) if is_ndc else None)
    model, params = Ball(is_ndc), {'params': {'strength': np.float32(20)}}
    one = jax.jit(lambda xy: pixel_maps(model, 'white', params, on_device(view), xy, with_normal=True))
    still = view.replace(ndc=None)
    for xy in ([8.0, 8.0], [-10.0, 20.0], [25.0, -5.0]):
        seen = one(np.array(xy, np.float32))
        assert seen['acc'] > 0.9
        surface = view.camera_to_world[:, 3] + seen['distance'] * cast(on_device(still), jnp.array(xy)).viewdir
        expected = (surface - CENTRE) / np.linalg.norm(surface - CENTRE)
        assert np.degrees(np.arccos(np.clip(seen['normal'] @ expected, -1, 1))) < 5
        np.testing.assert_allclose(np.linalg.norm(seen['normal']), 1, rtol=1e-5)


def test_pictures_have_normals_only_if_asked_and_none_where_nothing_is():
    params = lifting.replicate({'params': {'strength': np.float32(20)}})
    assert 'normal' not in Renderer(Ball(), 'white', chunk=64).image(params, camera())
    picture = Renderer(Ball(), 'white', chunk=64, with_normal=True).image(params, camera())
    assert picture['normal'].shape == (16, 16, 3)
    # Seen from a camera, surfaces face it: the normal points against the ray.
    facing = -picture['normal'] @ camera().camera_to_world[:, 2]
    assert (facing[6:10, 6:10] < -0.5).all()
