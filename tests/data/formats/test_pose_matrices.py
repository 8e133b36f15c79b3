import numpy as np
import pytest
from scipy.spatial.transform import Rotation

from nerf.data.formats.pose_matrices import without_scale

ROTATIONS = Rotation.random(4, rng=np.random.default_rng(0)).as_matrix()
POSES = np.concatenate([ROTATIONS, np.arange(12.0).reshape(4, 3, 1)], axis=2)


def scaled(*scales):
    poses = POSES.copy()
    poses[:, :, :3] *= np.array(scales)[:, None, None]
    return poses


def test_one_scale_is_divided_out_and_positions_stay(caplog):
    np.testing.assert_allclose(without_scale('here', scaled(3, 3, 3, 3)), POSES, atol=1e-12)
    np.testing.assert_allclose(without_scale('there', scaled(1, 0.25, 1e6, 1.01)), POSES, atol=1e-9)
    assert [record.getMessage() for record in caplog.records] == [
        'here: 4 of 4 poses are rotations times a scale, 3, which is divided out',
        'there: 3 of 4 poses are rotations times a scale, 0.25 to 1e+06, which is divided out',
    ]


def test_rotations_that_are_a_thousandth_off_are_left_as_they_are(caplog):
    poses = scaled(1, 1.0004, 0.9997, 1)
    np.testing.assert_array_equal(without_scale('here', poses), poses)
    assert not caplog.records


@pytest.mark.parametrize(
    'change', [np.diag([2.0, 1, 1]), -3 * np.eye(3), np.diag([-2.0, 2, 2]), np.triu(np.ones((3, 3))), np.zeros((3, 3))]
)
def test_what_is_no_scaled_rotation_is_left_to_be_refused(caplog, change):
    poses = POSES.copy()
    poses[2, :, :3] @= change
    np.testing.assert_array_equal(without_scale('here', poses), poses)
    poses[2, 0, 0] = np.nan
    poses[3] = 1e200
    np.testing.assert_array_equal(without_scale('here', poses), poses)
    assert not caplog.records
