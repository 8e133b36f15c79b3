import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.ray.contraction import contract, expand

CONTRACT, EXPAND = jax.jit(contract), jax.jit(expand)
REVERSE, FORWARD = jax.jit(jax.jacrev(contract)), jax.jit(jax.jacfwd(contract))
TILTED = np.array([0.48, -0.6, 0.64])  # of length 1


def contract64(x):
    """The definition, in float64."""
    length = np.linalg.norm(x)
    return x if length <= 1 else (2 - 1 / length) * x / length


def jacobian64(x):
    """By finite differences of the definition, in float64."""
    step = 1e-6 * max(1.0, np.linalg.norm(x))
    return np.stack([(contract64(x + d) - contract64(x - d)) / (2 * step) for d in step * np.eye(3)], axis=1)


def test_the_unit_ball_stays_as_it_is():
    rng = np.random.default_rng(0)
    points = rng.normal(size=(200, 3))
    points *= rng.uniform(size=(200, 1)) / np.linalg.norm(points, axis=1, keepdims=True)
    points = jnp.asarray(points, jnp.float32)
    np.testing.assert_array_equal(jax.vmap(contract)(points), points)
    np.testing.assert_array_equal(jax.vmap(expand)(points), points)


@pytest.mark.parametrize('length', [1.0, 1.001, 2.0, 37.0, 1e4, 1e6, 1e12])
def test_what_is_outside_keeps_its_direction_and_comes_within_two(length):
    found = np.asarray(CONTRACT(jnp.asarray(length * TILTED, jnp.float32)), np.float64)
    np.testing.assert_allclose(np.linalg.norm(found), 2 - 1 / length, rtol=2e-7)
    np.testing.assert_allclose(found / np.linalg.norm(found), TILTED, rtol=1e-6)


@pytest.mark.parametrize('length', [0.0, 1e-3, 0.5, 1.0, 1.5, 20.0, 1e3, 1e4])
def test_expanding_undoes_contracting(length):
    point = jnp.asarray(length * TILTED, jnp.float32)
    # What float32 keeps of 2 - 1 / |x| is all there is to tell distances apart far out.
    np.testing.assert_allclose(EXPAND(CONTRACT(point)), point, rtol=1e-6 + 3e-7 * length)


@pytest.mark.parametrize('length', [1.5, 1.9, 1.99])
def test_contracting_undoes_expanding(length):
    point = jnp.asarray(length * TILTED, jnp.float32)
    np.testing.assert_allclose(CONTRACT(EXPAND(point)), point, rtol=1e-6)
    np.testing.assert_allclose(jnp.linalg.norm(EXPAND(point)), 1 / (2 - length), rtol=1e-4)


@pytest.mark.parametrize('length', [2.0, 2.5, 100.0])
def test_what_lies_beyond_the_ball_expands_to_very_far(length):
    found = np.asarray(EXPAND(jnp.asarray(length * TILTED, jnp.float32)), np.float64)
    np.testing.assert_allclose(found / np.linalg.norm(found), TILTED, rtol=1e-6)
    assert 5e5 < np.linalg.norm(found) < 2e6


@pytest.mark.parametrize('length', [0.0, 0.3, 0.99, 1.01, 1.5, 8.0, 300.0])
def test_slopes_are_those_of_the_definition(length):
    point = length * TILTED
    for slopes in (REVERSE, FORWARD):
        found = slopes(jnp.asarray(point, jnp.float32))
        np.testing.assert_allclose(found, jacobian64(point), atol=3e-6 * min(1.0, 2 / max(length, 1e-9)))


@pytest.mark.parametrize('point', [[0.0, 0.0, 0.0], [1.0, 0.0, 0.0], [0.0, 0.0, -1.0]])
def test_space_is_not_stretched_at_the_origin_and_on_the_unit_sphere(point):
    # The pieces meet with the same slope: 2 - 1 / r has slope 1 at r = 1.
    for slopes in (REVERSE, FORWARD):
        np.testing.assert_allclose(slopes(jnp.array(point)), np.eye(3), atol=1e-6)


@pytest.mark.parametrize('length', [1.0, 1e6, 1e12])
def test_slopes_are_finite_far_out(length):
    point = jnp.asarray(length * TILTED, jnp.float32)
    across = np.cross(TILTED, [1.0, 0.0, 0.0])
    for slopes in (REVERSE, FORWARD, jax.jacrev(expand)):
        assert np.isfinite(slopes(point)).all()
    np.testing.assert_allclose(REVERSE(point) @ across, (2 - 1 / length) / length * across, rtol=1e-5, atol=1e-6 / length)
