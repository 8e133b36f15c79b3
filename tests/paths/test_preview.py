import numpy as np
import pytest

from nerf.data import procedural
from nerf.data.scene import Scene
from nerf.paths import spherical
from nerf.paths.preview import frustums, preview

RED = (0xB3, 0x26, 0x1E)


def built_in(points=()):
    names, split, cameras = procedural.views(16)
    points = np.array(points, np.float32).reshape(-1, 3)
    return Scene(names, split, np.zeros((0, 4), np.uint8), cameras, points=points)


def near(picture, colour, within=40):
    return np.abs(picture.astype(int) - colour).max(-1) < within


def test_frustums_end_at_the_corners_of_the_picture():
    """A camera in (1, 2, 3) that looks along -z, 16 px wide and high: at depth d it sees from -8 / f d to 8 / f d."""
    cameras = built_in().cameras
    pose = np.concatenate([np.eye(3), [[1], [2], [3]]], axis=1, dtype=np.float32)[None]
    cameras = cameras.replace(camera_to_world=np.repeat(pose, len(cameras.width), axis=0))
    lines = frustums(cameras, 0.5)[0]
    half = 0.5 * 8 / cameras.camera_to_pixel[0, 0, 0]
    np.testing.assert_allclose(lines[:4, 0], np.tile([1, 2, 3], (4, 1)))
    corners = [[1 - half, 2 + half, 2.5], [1 + half, 2 + half, 2.5], [1 + half, 2 - half, 2.5], [1 - half, 2 - half, 2.5]]
    np.testing.assert_allclose(lines[:4, 1], corners, rtol=1e-5)
    np.testing.assert_allclose(np.linalg.norm(lines[4:, 1] - lines[4:, 0], axis=1), 2 * half, rtol=1e-5)


def test_the_picture_shows_cameras_the_path_and_where_it_starts():
    scene = built_in()
    path = spherical(scene.cameras, 40)
    picture = preview(scene, path)
    assert picture.shape == (640, 1200, 3)
    assert picture.dtype == np.uint8
    red = np.argwhere(near(picture, RED, 30))
    from_above = red[(red[:, 1] < 600) & (red[:, 0] < 540)]
    # The path starts at azimuth 0: right of the middle of the left view, at half its height.
    middle, right = from_above.mean(0)
    assert abs(middle - 290) < 15
    assert right > 480
    other = path.replace(camera_to_world=np.roll(path.camera_to_world, 20, axis=0))
    moved = np.argwhere(near(preview(scene, other), RED, 30))
    assert moved[(moved[:, 1] < 600) & (moved[:, 0] < 540)].mean(0)[1] < 180


@pytest.mark.parametrize('points', [(), np.random.default_rng(0).normal(size=(50_000, 3))])
def test_points_are_drawn_where_the_scene_has_them(points):
    scene = built_in(points)
    picture = preview(scene, spherical(scene.cameras, 10))
    grey = (np.ptp(picture.astype(int), axis=-1) < 6) & (picture[..., 0] > 120) & (picture[..., 0] < 215)
    assert (grey[220:360, 250:400].mean() > 0.3) == (len(points) > 0)


@pytest.mark.parametrize('position', [(0, 0, 0), (0, 0, 4), (1e9, 0, 0)])
def test_a_path_of_one_frame_is_drawn(position):
    scene = built_in()
    path = spherical(scene.cameras, 1)
    pose = np.concatenate([np.eye(3), np.array(position)[:, None]], axis=1, dtype=np.float32)
    picture = preview(scene, path.replace(camera_to_world=pose[None]))
    assert near(picture, RED, 30).sum() > 20  # its start
    far = preview(scene, path)
    assert not np.array_equal(picture, far)


def test_a_scene_and_a_path_of_one_camera_each_in_the_same_place_are_drawn():
    scene = built_in()
    one = scene.indices('train')[:1]
    cameras = scene.cameras.at(one)
    scene = Scene(['a'], np.array(['train']), np.zeros((0, 4), np.uint8), cameras, points=np.zeros((0, 3), np.float32))
    assert near(preview(scene, cameras), RED, 30).sum() > 20
