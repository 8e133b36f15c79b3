import numpy as np
import pytest

from nerf import paths
from nerf.data.scene import stack_cameras


def ring(count, centre, radius):
    rng = np.random.default_rng(0)
    offsets = rng.normal(size=(count, 3))
    offsets[:, 2] = np.abs(offsets[:, 2])
    offsets *= radius / np.linalg.norm(offsets, axis=1, keepdims=True)
    poses = np.stack([paths.look_at(centre + offset, centre, np.array([0.0, 0, 1])) for offset in offsets])
    return stack_cameras(poses, np.tile(np.eye(3) * 50, (count, 1, 1)), np.full((count, 2), 20), 2.0, 6.0)


def test_look_at_is_a_rotation_that_looks_there_with_up_upwards():
    pose = paths.look_at(np.array([3.0, -2, 1]), np.array([0.0, 1, 0]), np.array([0.0, 0, 1]))
    np.testing.assert_allclose(pose[:, :3].T @ pose[:, :3], np.eye(3), atol=1e-12)
    assert np.linalg.det(pose[:, :3]) == pytest.approx(1)
    towards = np.array([-3.0, 3, -1]) / np.sqrt(19)
    np.testing.assert_allclose(-pose[:, 2], towards, atol=1e-12)
    assert pose[2, 1] > 0  # the camera's up has a positive world z
    assert pose[2, 0] == pytest.approx(0)  # and its right is level


def test_focus_point_is_where_the_axes_meet():
    centre = np.array([0.5, -0.3, 0.2])
    poses = ring(7, centre, 4.0).camera_to_world
    np.testing.assert_allclose(paths.focus_point(poses.astype(np.float64)), centre, atol=1e-5)


def test_spherical_goes_once_around_at_the_mean_distance():
    centre = np.array([0.5, -0.3, 0.2])
    path = paths.spherical(ring(9, centre, 4.0), 12, elevation=30)
    positions = path.camera_to_world[:, :, 3] - centre
    np.testing.assert_allclose(np.linalg.norm(positions, axis=1), 4, atol=1e-4)
    np.testing.assert_allclose(positions[:, 2], 2, atol=1e-4)  # 4 sin 30 degrees
    steps = np.linalg.norm(np.roll(positions, -1, axis=0) - positions, axis=1)
    np.testing.assert_allclose(steps, steps[0], atol=1e-4)
    np.testing.assert_allclose(-path.camera_to_world[:, :, 2], -positions / 4, atol=1e-4)
    assert path.width.tolist() == [20] * 12
