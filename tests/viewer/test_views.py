import types

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.data.scene import make_scene, stack_cameras
from nerf.errors import UserError
from nerf.paths.cameras import training
from nerf.paths.files import read_path_file, save_path_file
from nerf.ray.cameras import cast
from nerf.viewer.views import (
    View,
    beginning,
    camera_of,
    from_browser,
    path_through,
    shape_of,
    subject_of,
    to_browser,
    view_of,
    why_not,
)

HALF = np.sqrt(0.5)


def cameras(poses, ndc=None):
    count = len(poses)
    lens = np.array([[20.0, 0, 8], [0, 20.0, 6], [0, 0, 1]])
    stacked = stack_cameras(np.stack(poses), np.tile(lens, (count, 1, 1)), np.tile((16, 12), (count, 1)), 2.0, 6.0)
    return stacked if ndc is None else stacked.replace(ndc=np.tile(np.array([[2.5, 3.0]], np.float32), (count, 1)))


def looking(backward, position):
    """A pose with y up as nearly as can be."""
    backward = np.asarray(backward, float) / np.linalg.norm(backward)
    right = np.cross([0, 1, 0], backward)
    right /= np.linalg.norm(right)
    return np.stack([right, np.cross(backward, right), backward, np.asarray(position, float)], axis=1)


@pytest.mark.parametrize(
    ('wxyz', 'right', 'up', 'backward'),
    [
        # viser's camera without rotation looks along +z with y down
        ((1, 0, 0, 0), (1, 0, 0), (0, -1, 0), (0, 0, -1)),
        # half a turn about x: ours without rotation
        ((0, 1, 0, 0), (1, 0, 0), (0, 1, 0), (0, 0, 1)),
        # a quarter about x takes its z to -y: looks along -y, up is +z... of the image's y, which was down, -z
        ((HALF, HALF, 0, 0), (1, 0, 0), (0, 0, -1), (0, 1, 0)),
        # a quarter about y: x to -z, z to x
        ((HALF, 0, HALF, 0), (0, 0, -1), (0, -1, 0), (-1, 0, 0)),
        # a quarter about z: x to y, y to -x
        ((HALF, 0, 0, HALF), (0, 1, 0), (1, 0, 0), (0, 0, -1)),
    ],
)
def test_the_browsers_cameras_are_opencvs(wxyz, right, up, backward):
    pose = from_browser(np.array(wxyz), np.array([1.0, 2.0, 3.0]))
    np.testing.assert_allclose(pose, np.stack([right, up, backward, (1, 2, 3)], axis=1), atol=1e-12)
    back, position = to_browser(pose)
    np.testing.assert_allclose(np.abs(back @ wxyz), 1, atol=1e-12)  # the same rotation, perhaps with the other sign
    np.testing.assert_array_equal(position, [1, 2, 3])


def test_a_view_is_what_the_window_shows():
    handle = types.SimpleNamespace(wxyz=np.array([0, 1.0, 0, 0]), position=np.array([0, 0, 4.0]), fov=np.pi / 2, aspect=2.0)
    camera = camera_of(view_of(handle), (40, 10), cameras([np.eye(3, 4)]))
    assert (int(camera.width), int(camera.height), float(camera.near), float(camera.far)) == (40, 10, 2, 6)
    on_device = jax.tree.map(jnp.asarray, camera)
    top_left, bottom_right = (cast(on_device, jnp.array(xy, jnp.float32)).direction for xy in ((0, 0), (40, 10)))
    np.testing.assert_allclose(top_left, [-2, 1, -1], atol=1e-6)  # 90 degrees from top to bottom, twice as wide
    np.testing.assert_allclose(bottom_right, [2, -1, -1], atol=1e-6)


def test_the_range_moves_with_the_distance_to_the_subject():
    stacked = cameras([looking((0, 0, 1), (0, 0, 4)), looking((1, 0, 0), (4, 0, 0))])
    subject = subject_of(stacked, 'object')
    np.testing.assert_allclose(subject.centre, 0, atol=1e-6)
    assert subject.distance == pytest.approx(4)
    assert subject_of(stacked, 'unbounded') is None

    def range_at(z):
        camera = camera_of(View(looking((0, 0, 1), (0, 0, z)), 0.6, 1.0), (8, 8), stacked, subject)
        return float(camera.near), float(camera.far)

    assert range_at(4) == pytest.approx((2, 6))
    assert range_at(10) == pytest.approx((8, 12))
    assert range_at(3) == pytest.approx((1, 6))
    assert range_at(1) == pytest.approx((0.1, 6))


@pytest.mark.parametrize('aspect', [0.01, 0.5, 1.0, 16 / 9, 3.1, 50.0])
def test_pictures_of_all_shapes_have_about_as_many_pixels(aspect):
    for size in (1024, 8192, 65536, 1048576):
        width, height = shape_of(size, aspect)
        assert size - width < width * height <= size
        if 0.5 <= aspect <= 3.1:
            assert width / height == pytest.approx(aspect, rel=0.06)


def test_forward_facing_scenes_are_seen_from_the_front_only():
    stacked = cameras([np.eye(3, 4)], ndc=True)
    ahead, behind = (View(looking(way, (0, 0, 0)), 0.6, 1.0) for way in ((0.1, 0, 1), (0, 0.1, -1)))
    assert why_not(camera_of(ahead, (8, 8), stacked)) is None
    assert 'turn back' in why_not(camera_of(behind, (8, 8), stacked))
    assert why_not(camera_of(behind, (8, 8), cameras([np.eye(3, 4)]))) is None  # elsewhere it may look anywhere
    with pytest.raises(UserError, match='degrees off'):
        path_through([ahead, behind], [1.0], stacked, 5)


def test_keyframes_become_a_path_that_reads_back(tmp_path):
    stacked = cameras([np.eye(3, 4)])
    poses = [looking((0, 0, 1), (0, 0, 4)), looking((1, 0, 1), (3, 0, 3)), looking((1, 0, 0), (4, 0, 0))]
    views = [View(pose, fov, 3.0) for pose, fov in zip(poses, (0.6, 0.8, 1.0), strict=True)]
    save_path_file(str(tmp_path / 'path.json'), path_through(views, [0.5, 1.0], stacked, 6), 24)
    found = read_path_file(str(tmp_path / 'path.json'))
    assert (len(found.poses), found.size, found.fps) == (9, (16, 12), 24)
    np.testing.assert_allclose(found.poses[[0, -1]], [poses[0], poses[2]], atol=1e-5)
    np.testing.assert_allclose(found.lenses[[0, -1], 1], 6 / np.tan([0.3, 0.5]), rtol=1e-5)  # from top to bottom
    np.testing.assert_allclose(found.lenses[:, 0], found.lenses[:, 1], rtol=1e-5)  # square pixels, not the window's shape
    with pytest.raises(UserError, match='1 keyframes found, expected at least two'):
        path_through(views[:1], [], stacked, 9)
    with pytest.raises(UserError, match='110000 frames found, expected 100000 at most'):
        path_through(views[:2], [1000.0], stacked, 110)


def test_it_begins_among_the_cameras_and_turns_around_what_they_see():
    angles = np.arange(12) * np.pi / 6
    poses = [looking((np.cos(a), 0.5, np.sin(a)), 4 * np.array([np.cos(a), 0.5, np.sin(a)])) for a in angles]
    images = [np.zeros((12, 16, 4), np.uint8)] * 12
    scene = make_scene([f'train_{i}' for i in range(12)], ['train'] * 12, images, cameras(poses))
    start = beginning(scene, 'object')
    np.testing.assert_allclose(start.target, 0, atol=1e-5)
    np.testing.assert_allclose(start.up, [0, 1, 0], atol=1e-5)
    assert start.reach == pytest.approx(4 * np.sqrt(1.25), rel=1e-4)
    assert np.linalg.norm(start.view.pose[:, 3]) == pytest.approx(start.reach, rel=1e-4)
    assert start.view.fov == pytest.approx(2 * np.arctan(6 / 20), rel=1e-5)
    assert jax.tree.leaves(training(scene))[0].shape[0] == 12
