import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.ray.hashgrid import Grid, corners, lookup

DENSE = Grid(num_levels=3, coarsest=2, finest=8, log2_rows=10)
MIXED = Grid(num_levels=4, coarsest=2, finest=40, log2_rows=9)
RNG = np.random.default_rng(0)
POINTS = RNG.uniform(size=(50, 3)).astype(np.float32)


def random_table(grid, features=2):
    return jnp.asarray(np.random.default_rng(1).normal(size=(grid.num_rows, features)), jnp.float32)


def looked_up(grid, table, points):
    return np.asarray(jax.jit(jax.vmap(lambda x: lookup(grid, table, x)))(jnp.asarray(points, jnp.float32)))


def reference(grid, table, point):
    """The definition, as loops with Python's integers and float64."""
    out, first = [], 0
    for cells in grid.resolutions.tolist():
        rows = min((cells + 1) ** 3, 2**grid.log2_rows)
        position = np.float64(np.clip(point, 0, 1)) * cells
        cell = np.minimum(np.floor(position).astype(int), cells - 1)
        total = np.zeros(table.shape[1])
        for corner in itertools.product((0, 1), repeat=3):
            i, j, k = (int(c) for c in cell + np.array(corner))
            if rows == (cells + 1) ** 3:
                row = i + (cells + 1) * (j + (cells + 1) * k)
            else:
                row = (i ^ (j * 2654435761 % 2**32) ^ (k * 805459861 % 2**32)) % rows
            share = np.abs(1 - np.array(corner) - (position - cell)).prod()
            total += share * np.asarray(table, np.float64)[first + row]
        out.append(total)
        first += rows
    return np.stack(out)


def test_levels_grow_geometrically_and_are_hashed_where_they_do_not_fit():
    grid = Grid(num_levels=16, coarsest=16, finest=2048, log2_rows=19)
    assert grid.resolutions.tolist() == [16, 22, 31, 42, 58, 81, 111, 154, 213, 294, 406, 562, 776, 1072, 1482, 2048]
    assert grid.is_dense.tolist() == [True] * 5 + [False] * 11
    assert grid.rows.tolist() == [17**3, 23**3, 32**3, 43**3, 59**3, *[2**19] * 11]
    assert grid.num_rows == 17**3 + 23**3 + 32**3 + 43**3 + 59**3 + 11 * 2**19
    assert grid.first_rows.tolist()[:3] == [0, 17**3, 17**3 + 23**3]


def test_a_level_that_just_fits_is_dense():
    assert Grid(1, 3, 3, 6).is_dense.tolist() == [True]  # 4^3 = 2^6
    assert Grid(1, 4, 4, 6).is_dense.tolist() == [False]


@pytest.mark.parametrize('grid', [DENSE, MIXED, Grid(2, 300, 2048, 12)])
def test_lookup_is_its_definition(grid):
    table = random_table(grid)
    expected = np.stack([reference(grid, table, x) for x in POINTS])
    np.testing.assert_allclose(looked_up(grid, table, POINTS), expected, atol=2e-3 if grid.coarsest > 99 else 1e-4)


def test_dense_levels_reproduce_a_trilinear_function():
    def function(x, y, z):
        return 1 + 2 * x - y + 3 * z + x * y - 2 * y * z + 4 * x * y * z

    rows = []
    for cells in DENSE.resolutions.tolist():
        z, y, x = np.meshgrid(*[np.arange(cells + 1) / cells] * 3, indexing='ij')
        rows.append(function(x, y, z).reshape(-1))
    table = jnp.asarray(np.concatenate(rows)[:, None], jnp.float32)
    points = np.concatenate([POINTS, np.array(list(itertools.product((0.0, 0.5, 1.0), repeat=3)))])
    expected = function(*points.T)
    np.testing.assert_allclose(looked_up(DENSE, table, points)[:, :, 0], np.stack([expected] * 3, 1), atol=2e-5)


def test_weights_are_a_partition_and_rows_stay_in_their_level():
    rows, weights = jax.vmap(lambda x: corners(MIXED, x))(jnp.asarray(RNG.uniform(-1, 2, (200, 3)), jnp.float32))
    np.testing.assert_allclose(jnp.sum(weights, 1), 1, rtol=1e-5)
    assert float(weights.min()) >= 0
    assert rows.shape == (200, 8, 4)
    assert (np.asarray(rows) >= MIXED.first_rows).all()
    assert (np.asarray(rows) < MIXED.first_rows + MIXED.rows).all()
    assert len(np.unique(rows[:, :, 2])) > 300  # hashing spreads over the whole level


@pytest.mark.parametrize('axis', [0, 1, 2])
def test_features_are_continuous_across_the_borders_of_cells(axis):
    table = random_table(MIXED)
    for border in (3 / 40, 0.5, 13 / 40):
        points = np.tile(POINTS, (2, 1))
        points[:50, axis], points[50:, axis] = border - 1e-6, border + 1e-6
        found = looked_up(MIXED, table, points)
        np.testing.assert_allclose(found[:50], found[50:], atol=1e-3)


def test_points_outside_are_taken_to_the_face():
    table = random_table(MIXED)
    outside = np.concatenate([RNG.uniform(-3, 4, (50, 3)), [[0, 0, 0], [1, 1, 1], [1e9, -1e9, 0.5]]])
    found = looked_up(MIXED, table, outside)
    assert np.isfinite(found).all()
    np.testing.assert_allclose(found, looked_up(MIXED, table, np.clip(outside, 0, 1)), rtol=1e-6)
    slope = jax.jit(jax.grad(lambda x: jnp.sum(lookup(MIXED, table, x))))(jnp.array([-0.5, 0.3, 2.0]))
    np.testing.assert_array_equal(slope[jnp.array([0, 2])], 0)
    assert float(jnp.abs(slope[1])) > 0.1


def test_gradient_of_the_table_is_the_sum_of_the_weights_of_all_points():
    scales = jnp.asarray(RNG.normal(size=(50, 4, 2)), jnp.float32)

    def loss(table):
        return jnp.sum(jax.vmap(lambda x: lookup(MIXED, table, x))(jnp.asarray(POINTS)) * scales)

    jitted = jax.jit(lambda x: corners(MIXED, x))
    expected = np.zeros((MIXED.num_rows, 2))
    for x, scale in zip(POINTS, np.asarray(scales), strict=True):
        rows, weights = jitted(jnp.asarray(x))
        for c, level in itertools.product(range(8), range(4)):
            expected[int(rows[c, level])] += float(weights[c, level]) * scale[level]
    np.testing.assert_allclose(jax.jit(jax.grad(loss))(random_table(MIXED)), expected, atol=1e-5)


def test_gradient_of_the_point_is_the_finite_difference():
    table = random_table(MIXED)
    slopes = jax.jit(jax.vmap(jax.jacfwd(lambda x: lookup(MIXED, table, x))))(jnp.asarray(POINTS))
    backward = jax.jit(jax.vmap(jax.jacrev(lambda x: lookup(MIXED, table, x))))(jnp.asarray(POINTS))
    np.testing.assert_allclose(slopes, backward, atol=1e-3)
    step = 1e-6
    checked = 0
    for x, slope in zip(POINTS.astype(np.float64), np.asarray(slopes), strict=True):
        for axis in range(3):
            shift = step * np.eye(3)[axis]
            ends = [np.floor((x + sign * shift)[axis] * MIXED.resolutions) for sign in (-1, 1)]
            if (ends[0] == ends[1]).all():
                expected = (reference(MIXED, table, x + shift) - reference(MIXED, table, x - shift)) / (2 * step)
                np.testing.assert_allclose(slope[:, :, axis], expected, rtol=1e-3, atol=2e-3)
                checked += 1
    assert checked > 140
