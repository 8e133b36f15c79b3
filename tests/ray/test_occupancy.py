import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.lifting import over_rays, over_samples
from nerf.ray.occupancy import Occupancy, intersect_box, is_occupied, occupied_interval
from nerf.ray.structs import Ray


def ray(origin, direction, near=0.0, far=20.0):
    direction = jnp.array(direction, jnp.float32)
    return Ray(jnp.array(origin, jnp.float32), direction, direction, jnp.float32(0.01), jnp.float32(near), jnp.float32(far))


def single_cell(n=8, cell=(3, 4, 5)):
    """A box from (0, 0, 0) to (8, 4, 2) whose one occupied cell is, for n = 8, (3..4, 2..2.5, 1.25..1.5)."""
    cells = np.zeros((n, n, n), np.uint8)
    cells[cell] = 1
    return Occupancy(jnp.zeros(3), jnp.array([8.0, 4.0, 2.0]), jnp.asarray(cells))


def test_a_point_is_in_its_cell():
    look = jax.jit(over_samples(lambda point: is_occupied(single_cell(), point)))
    inside = [[3.01, 2.01, 1.26], [3.99, 2.49, 1.49]]
    beside = [[2.99, 2.2, 1.3], [3.5, 2.51, 1.3], [3.5, 2.2, 1.24], [4.5, 3.5, 1.5]]
    outside = [[-0.5, 2.2, 1.3], [8.5, 2.2, 1.3], [3.5, 2.2, 2.1]]
    np.testing.assert_array_equal(look(jnp.array(inside + beside + outside)), [True] * 2 + [False] * 7)


def test_nothing_is_outside_of_a_full_box():
    full = Occupancy(jnp.zeros(3), jnp.ones(3), jnp.ones((2, 2, 2), jnp.uint8))
    assert is_occupied(full, jnp.full(3, 0.999))
    assert not is_occupied(full, jnp.array([1.001, 0.5, 0.5]))
    assert not is_occupied(full, jnp.array([0.5, -0.001, 0.5]))


def test_entry_and_exit():
    corners = jnp.zeros(3), jnp.array([8.0, 4.0, 2.0])
    assert [float(t) for t in intersect_box(*corners, ray([-2, 1, 1], [2, 0, 0]))] == [1, 5]
    assert [float(t) for t in intersect_box(*corners, ray([10, 1, 1], [-2, 0, 0], near=2, far=3))] == [2, 3]
    np.testing.assert_allclose(intersect_box(*corners, ray([-1, 2, -1], [1, 0, 1])), [1, 3], atol=1e-6)
    entry, exit = intersect_box(*corners, ray([-2, 5, 1], [2, 0, 0]))
    assert exit <= entry


@pytest.mark.parametrize(
    ('origin', 'direction', 'inside', 'step'),
    [
        ([-2, 2.2, 1.3], [1, 0, 0], (5, 6), 8 / 14),
        ([10, 2.2, 1.3], [-2, 0, 0], (3, 3.5), 4 / 14),
        ([3.5, -1, 1.3], [0, 0.5, 0], (6, 7), 8 / 14),
        ([3.5, 2.2, 5], [0, 0, -1], (3.5, 3.75), 2 / 14),
    ],
)
def test_along_an_axis(origin, direction, inside, step):
    near, far, meets = occupied_interval(single_cell(), ray(origin, direction))
    assert meets
    # All of the cell, and less than a step more: the box is cut into ceil(sqrt(3) 8) = 14.
    assert inside[0] - step <= near <= inside[0]
    assert inside[1] <= far <= inside[1] + step


def test_it_is_what_a_dense_search_finds():
    rng = np.random.default_rng(0)
    n = 16
    lone, dilated = np.zeros((2, n, n, n), np.uint8)
    for x, y, z in rng.integers(2, n - 2, (20, 3)):
        lone[x, y, z] = 1
        dilated[x - 1 : x + 2, y - 1 : y + 2, z - 1 : z + 2] = 1  # as baking dilates it
    lower, upper = np.array([-1.0, -1.0, -0.5]), np.array([1.0, 1.0, 1.5])
    occupancy = Occupancy(jnp.array(lower), jnp.array(upper), jnp.array(dilated))
    origins, targets = 4 * rng.standard_normal((400, 3)), rng.uniform(-1.2, 1.2, (400, 3))
    rays = [ray(o, (t - o) / 2, near=0.5, far=3.0) for o, t in zip(origins, targets, strict=True)]
    rays = jax.tree.map(lambda *leaves: jnp.stack(leaves), *rays)
    near, far, meets = map(np.asarray, jax.jit(over_rays(lambda ray: occupied_interval(occupancy, ray)))(rays))

    t = np.linspace(0.5, 3.0, 4001)
    points = origins[:, None] + t[:, None] * np.asarray(rays.direction)[:, None]
    position = (points - lower) / (upper - lower) * n
    inside = ((position >= 0) & (position < n)).all(-1)
    x, y, z = np.moveaxis(np.clip(position, 0, n - 1).astype(int), -1, 0)
    must, may = inside & (lone[x, y, z] > 0), inside & (dilated[x, y, z] > 0)
    assert 10 < must.any(1).sum() < 370
    assert 30 < (~may.any(1)).sum() < 370
    assert meets[must.any(1)].all()
    assert not meets[~may.any(1)].any()
    # At most a cell's diagonal further than what is occupied.
    cell = np.sqrt(3) * 2 / n / np.linalg.norm(rays.direction, axis=1)
    for i in np.flatnonzero(meets):
        first, last = t[may[i]][[0, -1]]
        assert near[i] >= first - cell[i]
        assert far[i] <= last + cell[i]
        if must[i].any():
            first, last = t[must[i]][[0, -1]]
            assert near[i] <= first
            assert far[i] >= last
    np.testing.assert_array_equal(near[~meets], 0.5)
    np.testing.assert_array_equal(far[~meets], 3.0)


@pytest.mark.parametrize('origin', [[-2, 2.7, 1.3], [-2, 6, 1.3], [20, 2.2, 1.3]])
def test_a_miss_keeps_near_and_far(origin):
    near, far, meets = occupied_interval(single_cell(), ray(origin, [1, 0, 0], near=0.25, far=9.0))
    assert (float(near), float(far), bool(meets)) == (0.25, 9.0, False)


def test_the_ray_is_not_left():
    near, far, meets = occupied_interval(single_cell(), ray([-2, 2.2, 1.3], [1, 0, 0], near=5.25, far=5.75))
    assert meets
    assert (float(near), float(far)) == (5.25, 5.75)
    assert not occupied_interval(single_cell(), ray([-2, 2.2, 1.3], [1, 0, 0], near=1.0, far=4.9))[2]
    assert not occupied_interval(single_cell(), ray([-2, 2.2, 1.3], [1, 0, 0], near=6.1, far=9.0))[2]


def test_what_lies_between_two_cells_is_in_the_span():
    occupancy = single_cell()
    occupancy = occupancy.replace(cells=occupancy.cells.at[6, 4, 5].set(1))
    near, far, _ = occupied_interval(occupancy, ray([-2, 2.2, 1.3], [1, 0, 0]))
    assert 5 - 8 / 14 <= near <= 5
    assert 9 <= far <= 9 + 8 / 14
