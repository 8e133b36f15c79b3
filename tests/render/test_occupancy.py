import os

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from nerf import lifting
from nerf.ray.cameras import Camera, project
from nerf.ray.lenses import Lens
from nerf.render import occupancy
from nerf.render.occupancy import read_occupancy

CENTRE, RADIUS = np.array([0.3, -0.2, 0.1]), 0.5


class Ball(nn.Module):
    """A model whose density is 20 inside a ball, and whose box is for its cameras to find."""

    def setup(self):
        self.scale = self.param('scale', nn.initializers.constant(20.0), ())

    def density(self, point, width):
        return self.scale * (jnp.sum((point - jnp.array(CENTRE, jnp.float32)) ** 2) < RADIUS**2)


def cameras():
    """Two cameras at a distance of 4, which look at the origin along -z and along -x."""
    front = [[1.0, 0, 0, 0], [0, 1, 0, 0], [0, 0, 1, 4]]
    side = [[0.0, 0, 1, 4], [0, 1, 0, 0], [-1, 0, 0, 0]]
    lens = [[10.0, 0, 8], [0, 12.0, 6], [0, 0, 1]]
    full = lambda value: np.full(2, value, np.float32)  # noqa: E731
    size = np.array([16, 16], np.int32), np.array([12, 12], np.int32)
    return Camera(np.array([front, side], np.float32), np.array([lens, lens], np.float32), *size, full(2), full(6))


def build_occupancy(scale):
    return occupancy.build_occupancy(Ball(), lifting.replicate({'params': {'scale': np.float32(scale)}}), cameras())


def test_the_box_holds_all_that_is_seen():
    lower, upper = occupancy.view_bounds(cameras())
    # At far = 6 the front camera is at z = -2 and sees 6 x 8/10 to both sides and 6 x 6/12 up and down.
    np.testing.assert_allclose(lower, [-4.8, -3, -4.8], atol=1e-6)
    np.testing.assert_allclose(upper, [4.8, 3, 4.8], atol=1e-6)
    front = jax.tree.map(lambda field: jnp.asarray(field[0]), cameras())
    xy, depth = project(front, jnp.array([4.8, 3.0, -2.0]))
    np.testing.assert_allclose([*xy, depth], [16, 0, 6], atol=1e-5)


def test_the_box_of_a_fisheye_reaches_as_far_ahead_as_its_middle():
    front = jax.tree.map(lambda field: field[:1], cameras())
    lower, upper = occupancy.view_bounds(front.replace(lens=Lens(np.zeros((1, 8), np.float32), np.ones(1, np.int32))))
    # All far ends are 6 away, near ones 2; the sides' middles are at 0.8 and 0.5 rad from the axis.
    expected = [6 * np.sin(0.8), 6 * np.sin(0.5)]
    np.testing.assert_allclose(
        [lower, upper], [[*np.negative(expected), 4 - 6], [*expected, 4 - 2 * np.cos(np.hypot(0.8, 0.5))]], atol=1e-5
    )


def test_the_box_in_ndc_is_the_cube_and_what_stands_beside_it():
    shifted = np.tile(np.eye(3, 4, dtype=np.float32), (2, 1, 1))
    shifted[1, :2, 3] = 0.1, -0.2
    ndc = np.tile(np.array([2 * 10 / 16, 2 * 12 / 12], np.float32), (2, 1))
    full = lambda value: np.full(2, value, np.float32)  # noqa: E731
    found = occupancy.view_bounds(cameras().replace(camera_to_world=shifted, ndc=ndc, near=full(0), far=full(1)))
    np.testing.assert_allclose(found, [[-1, -1 - 0.2 * 2, -1], [1 + 0.1 * 1.25, 1, 1]], atol=1e-5)


def test_the_box_of_what_is_endless_is_large():
    found = np.array(occupancy.view_bounds(cameras().replace(far=np.full(2, 1e6, np.float32))))
    assert np.isfinite(found).all()
    assert found[1, 0] == pytest.approx(0.8e6, rel=1e-4)


def test_centres_are_in_the_order_of_the_cells():
    points = occupancy.cell_centres(np.zeros(3), np.array([2.0, 4.0, 6.0]), 2).reshape(2, 2, 2, 3)
    np.testing.assert_allclose(points[1, 0, 1], [1.5, 1.0, 4.5])
    np.testing.assert_allclose(points[0, 1, 0], [0.5, 3.0, 1.5])


def test_dilating_adds_all_neighbours_and_stays_inside():
    cells = np.zeros((5, 5, 5), bool)
    cells[2, 2, 4] = True
    expected = np.zeros((5, 5, 5), bool)
    expected[1:4, 1:4, 3:] = True
    np.testing.assert_array_equal(occupancy.dilate(cells), expected)


def test_the_grid_holds_the_ball_and_little_more():
    found = build_occupancy(20.0)
    n = len(found.cells)
    widths = (found.upper - found.lower) / n
    coarse = np.array([9.6, 6.0, 9.6]) / occupancy.COARSE
    assert (found.lower >= CENTRE - RADIUS - 3 * coarse).all()
    assert (found.upper <= CENTRE + RADIUS + 3 * coarse).all()
    points = occupancy.cell_centres(found.lower, found.upper, n).reshape(n, n, n, 3)
    distance = np.linalg.norm(points - CENTRE, axis=-1)
    assert (found.cells[distance < RADIUS] == 1).all()
    # Dilated by a cell, and an octant further.
    assert (found.cells[distance > RADIUS + 2 * np.linalg.norm(widths)] == 0).all()
    assert found.cells[distance < RADIUS + widths.min()].all()


def test_what_stops_almost_nothing_is_empty():
    assert not build_occupancy(0.0).cells.any()
    # Cells of the coarse grid are 0.15 wide at most: 1 - exp(-0.15 density) is below the threshold of 0.01.
    assert not build_occupancy(0.06).cells.any()
    assert build_occupancy(1.0).cells.any()


def test_it_can_be_interrupted():
    calls = []
    variables = lifting.replicate({'params': {'scale': np.float32(20)}})
    occupancy.build_occupancy(Ball(), variables, cameras(), lambda: calls.append(1))
    assert len(calls) >= 4


def stored(n=64, **changes):
    grid = {'lower': np.zeros(3, np.float32), 'upper': np.ones(3, np.float32), 'cells': np.ones((n, n, n), np.uint8)}
    return {**grid, 'built_from': np.array('abc'), **changes}


@pytest.mark.parametrize('n', [64, 128])
def test_a_stored_grid_is_read(tmp_path, n):
    content = stored(n, cells=np.random.default_rng(0).integers(0, 2, (n, n, n), np.uint8))
    np.savez_compressed(tmp_path / 'grid.npz', **content)
    found = read_occupancy(tmp_path / 'grid.npz', 'abc')
    for name in ('lower', 'upper', 'cells'):
        np.testing.assert_array_equal(getattr(found, name), content[name], strict=True)
    assert read_occupancy(tmp_path / 'grid.npz', 'abd') is None


BAD_GRIDS = {
    'another size': {'cells': np.ones((64, 64, 63), np.uint8)},
    'large': {'cells': np.ones((300, 300, 300), np.uint8)},
    'another type': {'cells': np.ones((64, 64, 64), np.float32)},
    'nan': {'lower': np.array([0, np.nan, 0], np.float32)},
    'infinite': {'upper': np.array([1, np.inf, 1], np.float32)},
    'turned over': {'lower': np.full(3, 2, np.float32)},
    'no corner': {'upper': np.zeros(0, np.float32)},
    'objects': {'built_from': np.array({'a': 1}, object)},
    'numbers': {'built_from': np.array(3)},
    'more': {'more': np.zeros(3)},
}


@pytest.mark.parametrize('name', BAD_GRIDS)
def test_a_grid_that_cannot_be_is_built_anew(tmp_path, name):
    np.savez_compressed(tmp_path / 'grid.npz', **stored(**BAD_GRIDS[name]))
    assert read_occupancy(tmp_path / 'grid.npz', 'abc') is None


def test_no_file_in_its_place_is_waited_for(tmp_path):
    os.mkfifo(tmp_path / 'grid.npz')
    assert read_occupancy(tmp_path / 'grid.npz', 'abc') is None
    assert read_occupancy(tmp_path / 'none.npz', 'abc') is None
