import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.ray import histogram, sampling

POSTS = jnp.array([0.0, 0.1, 0.4, 0.5, 0.9, 1.0])
WEIGHTS = jnp.array([0.2, 0.0, 1.4, 0.3, 0.1])
INTERVALS = jax.jit(sampling.sample_intervals, static_argnums=3)
QUANTILE = jax.jit(histogram.quantile)
DILATE = jax.jit(histogram.dilate)
ANNEAL = jax.jit(lambda weights, progress: histogram.anneal(weights, progress, 10.0))


def random_rows(rows, bins, seed=0):
    """Rows of fenceposts, and weights of which many are exactly zero and some dwarf the others."""
    rng = np.random.default_rng(seed)
    posts = np.sort(rng.uniform(size=(rows, bins + 1)), axis=1)
    weights = rng.uniform(size=(rows, bins)) ** 8 * (rng.uniform(size=(rows, bins)) > 0.4)
    return jnp.asarray(posts, jnp.float32), jnp.asarray(weights, jnp.float32)


def test_cdf_by_hand():
    np.testing.assert_allclose(histogram.cdf(WEIGHTS), [0, 0.1, 0.1, 0.8, 0.95, 1], rtol=1e-6)


@pytest.mark.parametrize(
    ('weights', 'expected'),
    [
        ([0, 0, 0, 0], [0, 0.25, 0.5, 0.75, 1]),
        ([3, 3, 3, 3], [0, 0.25, 0.5, 0.75, 1]),
        ([0, 1, 0, 0], [0, 0, 1, 1, 1]),
        ([0, 0, 0, 1e-30], [0, 0, 0, 0, 1]),
        ([1e30, 0, 0, 0], [0, 1, 1, 1, 1]),
    ],
)
def test_cdf_at_its_limits(weights, expected):
    np.testing.assert_allclose(histogram.cdf(jnp.array(weights, jnp.float32)), expected, rtol=1e-6)


@pytest.mark.parametrize('bins', [1, 7, 128])
def test_cdf_is_monotone_and_ends_at_exactly_one(bins):
    _, weights = random_rows(500, bins)
    found = np.asarray(jax.jit(jax.vmap(histogram.cdf))(weights))
    assert (found[:, 0] == 0).all()
    assert (found[:, -1] == 1).all()
    assert (np.diff(found) >= 0).all()


def test_interpolate_agrees_with_numpy():
    rng = np.random.default_rng(0)
    for _ in range(20):
        xp, fp = np.sort(rng.normal(size=9)), np.sort(rng.normal(size=9))
        x = np.concatenate([rng.uniform(xp[0] - 1, xp[-1] + 1, 40), xp, [-1e6, 1e6]])
        x, xp, fp = (a.astype(np.float32) for a in (x, xp, fp))
        np.testing.assert_allclose(histogram.interpolate(*map(jnp.asarray, (x, xp, fp))), np.interp(x, xp, fp), atol=3e-6)


def test_interpolate_skips_steps():
    xp, fp = jnp.array([0.0, 1.0, 1.0, 1.0, 2.0]), jnp.array([0.0, 1.0, 3.0, 5.0, 6.0])
    x = jnp.array([0.5, 0.999999, 1.0, 1.5])
    np.testing.assert_allclose(histogram.interpolate(x, xp, fp), [0.5, 1, 5, 5.5], atol=1e-5)


def test_blur_and_pad_against_loops():
    w = np.array([0.1, 0.0, 0.7, 0.2, 0.0, 0.0, 0.3])
    expected = []
    for k in range(len(w)):
        before, after = w[max(k - 1, 0)], w[min(k + 1, len(w) - 1)]
        expected.append((max(before, w[k]) + max(w[k], after)) / 2 + 0.01)
    np.testing.assert_allclose(histogram.blur_and_pad(jnp.array(w), 0.01), expected, rtol=1e-6)


def test_blur_and_pad_is_an_envelope():
    _, weights = random_rows(100, 16)
    blurred = jax.vmap(lambda w: histogram.blur_and_pad(w, 0.0))(weights)
    assert (blurred >= weights).all()
    np.testing.assert_allclose(histogram.blur_and_pad(jnp.zeros(4), 0.01), 0.01, rtol=1e-6)


@pytest.mark.parametrize('q', [0.1, 0.3, 0.5, 0.7])
def test_quantile_of_evenly_spread_weight(q):
    posts = jnp.linspace(2.0, 6.0, 9)
    found = QUANTILE(q, posts, jnp.full(8, 0.1), 100.0)
    np.testing.assert_allclose(found, 2 + 4 * q / 0.8, rtol=1e-5)


def test_quantile_that_is_never_reached_is_beyond():
    posts = jnp.linspace(2.0, 6.0, 9)
    assert float(QUANTILE(0.5, posts, jnp.full(8, 0.06), 100.0)) == 100
    assert float(QUANTILE(0.5, posts, jnp.zeros(8), 100.0)) == 100


def test_quantile_finds_the_one_opaque_interval():
    posts = jnp.linspace(0.0, 8.0, 9)
    np.testing.assert_allclose(QUANTILE(0.5, posts, jnp.eye(8)[3], 9.0), 3.5, rtol=1e-6)


@pytest.mark.parametrize('weights', [jnp.zeros(8), jnp.eye(8)[3], jnp.full(8, 0.125)])
def test_quantile_has_finite_gradients(weights):
    posts = jnp.linspace(0.0, 8.0, 9)
    gradients = jax.jit(jax.grad(lambda p, w: histogram.quantile(0.5, p, w, 9.0), (0, 1)))(posts, weights)
    assert all(np.isfinite(g).all() for g in gradients)


def highest_density(x, s, weights, reach):
    """By looking at every interval, in float64: the highest density of those that reach x."""
    density = weights / np.maximum(np.diff(s), 1e-300)
    return np.where((s[:-1] - reach <= x[:, None]) & (x[:, None] < s[1:] + reach), density, 0).max(axis=1)


@pytest.mark.parametrize('reach', [0.003, 0.05, 0.7])
@pytest.mark.parametrize('seed', range(3))
def test_dilate_is_the_highest_density_within_reach(reach, seed):
    rng = np.random.default_rng(seed)
    s = np.sort(rng.uniform(0.1 * (seed > 0), 1 - 0.1 * (seed > 1), 10)).astype(np.float32)
    weights = (rng.uniform(size=9) * (rng.uniform(size=9) > 0.3)).astype(np.float32)
    posts, spread = DILATE(jnp.asarray(s), jnp.asarray(weights), reach)
    assert (posts.shape, spread.shape) == ((3 * 9 - 1,), (3 * 9 - 2,))
    assert (np.diff(posts) >= 0).all()
    assert 0 <= float(posts[0]) <= float(posts[-1]) <= 1

    fine = np.linspace(0, 1, 400_001)
    middle = (fine[1:] + fine[:-1]) / 2
    share = highest_density(middle, s.astype(np.float64), weights, reach)
    accumulated = np.concatenate([[0], np.cumsum(share) / share.sum()])
    expected = np.diff(np.interp(posts, fine, accumulated))
    np.testing.assert_allclose(spread, expected, atol=3e-4)
    # What is left out is outermost, and no longer than it was dilated.
    assert float(jnp.sum(spread)) <= 1 + 1e-6
    assert posts[0] <= s[0] + 1e-6
    assert posts[-1] >= s[-1] - 1e-6


def test_dilate_by_hand():
    # Densities 1 and 4: the higher reaches 0.05 into the lower; what is dilated over the ends of [0, 1] is cut off.
    posts, spread = DILATE(jnp.array([0.0, 0.6, 1.0]), jnp.array([0.6, 1.6]), 0.05)
    np.testing.assert_allclose(posts, [0, 0.55, 0.6, 0.65, 1], atol=1e-6)
    np.testing.assert_allclose(spread, np.array([0.55, 0.2, 0.2, 1.4]) / 2.35, atol=1e-5)


def test_dilate_of_nothing_is_nothing():
    posts, spread = DILATE(POSTS, jnp.zeros(5), 0.01)
    assert np.isfinite(posts).all()
    np.testing.assert_array_equal(spread, 0)


@pytest.mark.parametrize('weight', [1.0, 1e-12])
def test_dilate_does_not_lose_what_lies_in_an_interval_of_no_length(weight):
    posts, spread = DILATE(jnp.array([0.0, 0.5, 0.5, 1.0]), jnp.array([0.0, weight, 0.0]), 0.1)
    inside = (posts[1:] <= 0.6 + 1e-6) & (posts[:-1] >= 0.4 - 1e-6)
    np.testing.assert_allclose(jnp.sum(spread[inside]), 1, rtol=1e-5)
    np.testing.assert_array_equal(spread[~inside], 0)
    # The same at the end of the ray, where an opaque background may be all there is.
    posts, spread = DILATE(jnp.array([0.0, 1.0, 1.0]), jnp.array([0.0, weight]), 0.1)
    found = INTERVALS(None, posts, spread, 10)
    np.testing.assert_allclose([found[0], found[-1]], [0.9, 1], atol=1e-5)


def test_dilate_has_finite_gradients():
    slopes = jax.jit(jax.jacrev(lambda s, w: histogram.dilate(s, w, 0.02), (0, 1)))
    for weights in (WEIGHTS, jnp.zeros(5), jnp.eye(5)[2]):
        found = slopes(POSTS.at[3].set(POSTS[2]), weights)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(found))


def test_anneal_is_flat_at_first_and_does_nothing_at_last():
    np.testing.assert_array_equal(ANNEAL(WEIGHTS, 0.0), [1, 0, 1, 1, 1])
    np.testing.assert_allclose(ANNEAL(WEIGHTS, 1.0), WEIGHTS, rtol=1e-6)
    # A tenth of training is half the way: 10 p / (9 p + 1).
    np.testing.assert_allclose(ANNEAL(WEIGHTS, 0.1), np.asarray(WEIGHTS) ** (1 / 1.9), rtol=1e-5)
    np.testing.assert_allclose(ANNEAL(WEIGHTS, 0.5), np.asarray(WEIGHTS) ** (5 / 5.5), rtol=1e-5)


def test_anneal_gives_nothing_to_what_has_none_with_finite_gradients():
    slopes = jax.jit(jax.jacrev(ANNEAL, (0, 1)))
    limits = (WEIGHTS, jnp.zeros(5), jnp.eye(5)[2], jnp.full(5, 1e-30))
    for weights, progress in itertools.product(limits, (0.0, 0.01, 0.3, 1.0)):
        found = np.asarray(ANNEAL(weights, progress))
        assert np.isfinite(found).all()
        np.testing.assert_array_equal(found > 0, np.asarray(weights) > 0)
        assert all(np.isfinite(leaf).all() for leaf in slopes(weights, progress))
