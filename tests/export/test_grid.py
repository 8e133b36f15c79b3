import numpy as np
import pytest
from skimage import measure

from nerf.data import procedural
from nerf.errors import UserError
from nerf.export.grid import corners, default_box, density_grid, fill_hollows, occupied
from nerf.ray.occupancy import Occupancy

LOWER, UPPER = np.array([-1.0, 0, 2], np.float32), np.array([3.0, 2, 10], np.float32)  # cells of 0.2, 0.1 and 0.4


def occupancy(*blocks):
    cells = np.zeros((20, 20, 20), np.uint8)
    for block in blocks:
        cells[tuple(slice(*each) for each in block)] = 1
    return Occupancy(LOWER, UPPER, cells)


CAMERAS = procedural.views(16)[2]


def test_the_box_is_around_all_but_specks():
    large = (0, 15), (2, 14), (1, 13)  # 2160 cells
    box = default_box(measure, CAMERAS, occupancy(large, ((19, 20), (19, 20), (18, 20))))
    np.testing.assert_allclose(box, [[-1, 0.2, 2.4], [2, 1.4, 7.2]], atol=1e-6)
    # Three cells are more than a thousandth of it.
    box = default_box(measure, CAMERAS, occupancy(large, ((19, 20), (19, 20), (17, 20))))
    np.testing.assert_allclose(box, [[-1, 0.2, 2.4], [3, 2, 10]], atol=1e-6)


def test_the_box_in_ndc_ends_before_what_is_endless():
    ndc = CAMERAS.replace(ndc=np.ones((len(CAMERAS.width), 2), np.float32))
    cube = Occupancy(np.full(3, -1, np.float32), np.ones(3, np.float32), np.ones((4, 4, 4), np.uint8))
    np.testing.assert_allclose(default_box(measure, ndc, cube), [[-1, -1, -1], [1, 1, 0.95]])


def test_without_an_occupancy_the_box_is_around_what_cameras_look_at():
    moved = np.array(CAMERAS.camera_to_world)
    moved[:, :, 3] += [1.0, 2, 3]
    box = default_box(measure, CAMERAS.replace(camera_to_world=moved), None)
    np.testing.assert_allclose(box, [[0, 1, 2], [2, 3, 4]], atol=1e-5)


def test_nothing_occupied():
    with pytest.raises(UserError, match='the trained scene is empty'):
        default_box(measure, CAMERAS, occupancy())


def test_bounds_as_corners():
    np.testing.assert_array_equal(corners((-1, -2, -3, 1, 2, 4)), [[-1, -2, -3], [1, 2, 4]])
    with pytest.raises(UserError, match='--bounds=0,0,0,1,nan,1: expected x0,y0,z0,x1,y1,z1'):
        corners((0, 0, 0, 1, float('nan'), 1))


def test_which_points_may_be_occupied():
    axes = [np.array([-1.1, -0.5, 0.1]), np.array([0.05, 0.15]), np.array([2.1, 9.9, 10.5])]
    found = occupied(occupancy(((2, 3), (0, 1), (0, 20)), ((0, 1), (0, 20), (0, 20))), axes)
    expected = np.zeros((3, 2, 3), bool)
    expected[1, 0, :2] = True  # x of -0.5 is in cell 2; -1.1 is outside although cell 0 is occupied; z of 10.5 is outside
    np.testing.assert_array_equal(found, expected)


class Sum:
    """Density x + 10 y + 100 z, and how many points were looked at."""

    count = 0

    def density(self, points, width):
        assert width == 0.5
        self.count += len(points)
        return points @ np.array([1.0, 10, 100])


def test_density_at_corners_and_nothing_around():
    box = np.array([0.0, 0, 0]), np.array([1.0, 0.5, 0.75])
    found = density_grid(Sum(), box, 0.5, None)
    assert found.shape == (3 + 2, 2 + 2, 3 + 2)  # the box's edge of 0.75 ends within a cube
    assert found[1 + 2, 1 + 1, 1 + 1] == 1 + 5 + 50
    assert not found[:, :, 1 + 2].any()  # z of 1 is outside
    assert found[1, 1 + 1, 1] == 5
    around = np.ones(found.shape, bool)
    around[1:-1, 1:-1, 1:-1] = False
    assert not found[around].any()
    queries = Sum()
    half = Occupancy(np.zeros(3, np.float32), np.ones(3, np.float32), np.array([0, 1], np.uint8).repeat(4).reshape(2, 2, 2))
    found = density_grid(queries, box, 0.5, half)
    assert queries.count == 2 * 2 * 3  # x of 0.5 and 1
    assert not found[1].any()
    assert found[1 + 1, 1, 1] == 0.5


def test_hollows_are_filled_unless_a_camera_stands_in_them():
    x = np.stack(np.meshgrid(*[np.arange(24)] * 3, indexing='ij'), -1)
    from_middle = np.linalg.norm(x - 12, axis=-1)
    room = np.abs(from_middle - 7) < 2
    outside = np.array([[1.0, 1, 1], [-5, 12, 12], [12, 12, 40]])
    np.testing.assert_array_equal(fill_hollows(measure, room, outside), from_middle < 9)
    np.testing.assert_array_equal(fill_hollows(measure, room, np.array([[12.2, 11.9, 13.0]])), room)


def test_a_thin_leaning_wall_holds_tight():
    x = np.abs(np.stack(np.meshgrid(*[np.arange(17) - 8] * 3, indexing='ij'), -1)).sum(-1)
    np.testing.assert_array_equal(fill_hollows(measure, x == 6, np.zeros((0, 3))), x <= 6)
