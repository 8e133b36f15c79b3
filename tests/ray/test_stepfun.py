import itertools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.ray import stepfun
from nerf.ray.maths import MACHINE_EPS

POSTS = jnp.array([0.0, 0.1, 0.4, 0.5, 0.9, 1.0])
WEIGHTS = jnp.array([0.2, 0.0, 1.4, 0.3, 0.1])
SAMPLE = jax.jit(stepfun.sample, static_argnums=3)
QUANTILE = jax.jit(stepfun.quantile)
INTERVALS = jax.jit(stepfun.sample_intervals, static_argnums=3)
DILATE = jax.jit(stepfun.dilate)
ANNEAL = jax.jit(lambda weights, progress: stepfun.anneal(weights, progress, 10.0))


def random_rows(rows, bins, seed=0):
    """Rows of fenceposts, and weights of which many are exactly zero and some dwarf the others."""
    rng = np.random.default_rng(seed)
    posts = np.sort(rng.uniform(size=(rows, bins + 1)), axis=1)
    weights = rng.uniform(size=(rows, bins)) ** 8 * (rng.uniform(size=(rows, bins)) > 0.4)
    return jnp.asarray(posts, jnp.float32), jnp.asarray(weights, jnp.float32)


def test_stratified_without_a_key_is_the_grid():
    np.testing.assert_allclose(stepfun.stratified(None, 5), [0, 0.25, 0.5, 0.75, 1], rtol=1e-6)


def test_stratified_fills_each_stratum_evenly():
    keys = jax.random.split(jax.random.key(0), 4000)
    s = np.asarray(jax.jit(jax.vmap(lambda key: stepfun.stratified(key, 5)))(keys))
    lower, upper = np.array([0, 1, 3, 5, 7]) / 8, np.array([1, 3, 5, 7, 8]) / 8
    assert (s >= lower).all()
    assert (s <= upper).all()
    np.testing.assert_allclose(s.mean(0), (lower + upper) / 2, atol=0.005)
    np.testing.assert_allclose(s.std(0), (upper - lower) / np.sqrt(12), rtol=0.05)
    np.testing.assert_allclose(np.corrcoef(s.T), np.eye(5), atol=0.1)


def test_cdf_by_hand():
    np.testing.assert_allclose(stepfun.cdf(WEIGHTS), [0, 0.1, 0.1, 0.8, 0.95, 1], rtol=1e-6)


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
    np.testing.assert_allclose(stepfun.cdf(jnp.array(weights, jnp.float32)), expected, rtol=1e-6)


@pytest.mark.parametrize('bins', [1, 7, 128])
def test_cdf_is_monotone_and_ends_at_exactly_one(bins):
    _, weights = random_rows(500, bins)
    found = np.asarray(jax.jit(jax.vmap(stepfun.cdf))(weights))
    assert (found[:, 0] == 0).all()
    assert (found[:, -1] == 1).all()
    assert (np.diff(found) >= 0).all()


def test_interpolate_agrees_with_numpy():
    rng = np.random.default_rng(0)
    for _ in range(20):
        xp, fp = np.sort(rng.normal(size=9)), np.sort(rng.normal(size=9))
        x = np.concatenate([rng.uniform(xp[0] - 1, xp[-1] + 1, 40), xp, [-1e6, 1e6]])
        x, xp, fp = (a.astype(np.float32) for a in (x, xp, fp))
        np.testing.assert_allclose(stepfun.interpolate(*map(jnp.asarray, (x, xp, fp))), np.interp(x, xp, fp), atol=3e-6)


def test_interpolate_skips_steps():
    xp, fp = jnp.array([0.0, 1.0, 1.0, 1.0, 2.0]), jnp.array([0.0, 1.0, 3.0, 5.0, 6.0])
    x = jnp.array([0.5, 0.999999, 1.0, 1.5])
    np.testing.assert_allclose(stepfun.interpolate(x, xp, fp), [0.5, 1, 5, 5.5], atol=1e-5)


@pytest.mark.parametrize('key', [None, 7])
@pytest.mark.parametrize('num', [2, 33])
def test_samples_rise_and_stay_inside(key, num):
    posts, weights = random_rows(500, 64)
    key = None if key is None else jax.random.key(key)
    found = np.asarray(jax.jit(jax.vmap(lambda s, w: stepfun.sample(key, s, w, num)))(posts, weights))
    assert (np.diff(found) >= 0).all()
    assert (found >= posts[:, :1]).all()
    assert (found <= posts[:, -1:]).all()


def test_samples_without_a_key_invert_the_cdf_on_an_even_grid():
    u = np.linspace(0, 1 - MACHINE_EPS, 21)
    expected = np.interp(u, [0, 0.1, 0.100001, 0.8, 0.95, 1], POSTS)
    np.testing.assert_allclose(stepfun.sample(None, POSTS, WEIGHTS, 21)[3:], expected[3:], atol=1e-5)


def test_samples_are_distributed_like_the_weights():
    keys = jax.random.split(jax.random.key(1), 2000)
    found = np.asarray(jax.jit(jax.vmap(lambda key: stepfun.sample(key, POSTS, WEIGHTS, 16)))(keys)).ravel()
    share, _ = np.histogram(found, np.asarray(POSTS))
    np.testing.assert_allclose(share / found.size, WEIGHTS / WEIGHTS.sum(), atol=0.003)
    # Also within the intervals: the largest distance between the two distribution functions.
    empirical = (np.arange(found.size) + 0.5) / found.size
    exact = np.interp(np.sort(found), np.asarray(POSTS), np.asarray(stepfun.cdf(WEIGHTS)))
    assert np.abs(empirical - exact).max() < 0.005


def test_samples_with_a_key_take_one_from_each_stratum():
    posts = jnp.array([0.0, 1.0])
    keys = jax.random.split(jax.random.key(2), 1000)
    found = np.asarray(jax.jit(jax.vmap(lambda key: stepfun.sample(key, posts, jnp.ones(1), 8)))(keys))
    np.testing.assert_array_equal(np.floor(found * 8), np.broadcast_to(np.arange(8), found.shape))
    assert found.max() < 1
    np.testing.assert_allclose(found.std(0), (1 / 8) / np.sqrt(12), rtol=0.08)
    # Each stratum has its own jitter.
    np.testing.assert_allclose(np.corrcoef(found.T), np.eye(8), atol=0.15)


@pytest.mark.parametrize('hot', range(5))
def test_samples_of_one_hot_weights_lie_in_that_interval(hot):
    found = SAMPLE(jax.random.key(3), POSTS, jnp.eye(5)[hot], 32)
    assert (found >= POSTS[hot]).all()
    assert (found <= POSTS[hot + 1]).all()
    assert float(found[-1] - found[0]) > 0.9 * float(POSTS[hot + 1] - POSTS[hot])


def test_samples_of_zero_weights_spread_over_all_intervals():
    found = stepfun.sample(None, POSTS, jnp.zeros(5), 6)
    np.testing.assert_allclose(found, POSTS, atol=1e-5)


@pytest.mark.parametrize('weights', [WEIGHTS, jnp.zeros(5)])
def test_no_gradient_flows_into_samples(weights):
    jacobian = jax.jit(jax.jacrev(lambda s, w: stepfun.sample(None, s, w, 8), (0, 1)))(POSTS, weights)
    np.testing.assert_array_equal(jacobian[0], 0)
    np.testing.assert_array_equal(jacobian[1], 0)


def test_blur_and_pad_against_loops():
    w = np.array([0.1, 0.0, 0.7, 0.2, 0.0, 0.0, 0.3])
    expected = []
    for k in range(len(w)):
        before, after = w[max(k - 1, 0)], w[min(k + 1, len(w) - 1)]
        expected.append((max(before, w[k]) + max(w[k], after)) / 2 + 0.01)
    np.testing.assert_allclose(stepfun.blur_and_pad(jnp.array(w), 0.01), expected, rtol=1e-6)


def test_blur_and_pad_is_an_envelope():
    _, weights = random_rows(100, 16)
    blurred = jax.vmap(lambda w: stepfun.blur_and_pad(w, 0.0))(weights)
    assert (blurred >= weights).all()
    np.testing.assert_allclose(stepfun.blur_and_pad(jnp.zeros(4), 0.01), 0.01, rtol=1e-6)


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
    gradients = jax.jit(jax.grad(lambda p, w: stepfun.quantile(0.5, p, w, 9.0), (0, 1)))(posts, weights)
    assert all(np.isfinite(g).all() for g in gradients)


@pytest.mark.parametrize('num', [2, 16])
def test_intervals_of_one_even_interval_without_a_key_are_the_even_grid(num):
    found = INTERVALS(None, jnp.array([0.0, 1.0]), jnp.ones(1), num)
    np.testing.assert_allclose(found, np.linspace(0, 1, num + 1), atol=1e-6)


def test_intervals_without_a_key_reach_half_way_between_the_middles_of_strata():
    middles = np.interp((np.arange(7) + 0.5) / 7, [0, 0.1, 0.100001, 0.8, 0.95, 1], POSTS)
    between = (middles[1:] + middles[:-1]) / 2
    found = INTERVALS(None, POSTS, WEIGHTS, 7)
    np.testing.assert_allclose(found[1:-1], between, atol=1e-5)
    # The outermost are as long on either side of their middles, unless that is outside.
    np.testing.assert_allclose(found[0], max(0, 2 * middles[0] - between[0]), atol=1e-5)
    np.testing.assert_allclose(found[-1], min(1, 2 * middles[-1] - between[-1]), atol=1e-5)


def test_one_random_number_moves_all_intervals_alike():
    even = jnp.array([0.0, 1.0]), jnp.ones(1)
    keys = jax.random.split(jax.random.key(0), 2000)
    found = np.asarray(jax.vmap(lambda key: stepfun.sample_intervals(key, *even, 8))(keys))
    moved = found[:, 1:-1] - np.arange(1, 8) / 8
    np.testing.assert_allclose(moved, np.broadcast_to(moved[:, :1], moved.shape), atol=1e-6)
    assert np.abs(moved).max() <= 1 / 16 + 1e-6
    np.testing.assert_allclose([moved.mean(), moved.std()], [0, 1 / 8 / np.sqrt(12)], atol=2e-3)
    np.testing.assert_allclose(found[:, 0], np.maximum(0, moved[:, 0]), atol=1e-6)
    np.testing.assert_allclose(found[:, -1], np.minimum(1, 1 + moved[:, 0]), atol=1e-6)


@pytest.mark.parametrize('key', [None, 7])
@pytest.mark.parametrize('num', [2, 33])
def test_intervals_rise_and_stay_inside(key, num):
    posts, weights = random_rows(500, 64)
    # Some intervals are empty, also the outermost.
    posts = posts.at[:, 20:30].set(posts[:, 20:21]).at[:, :2].set(0.0).at[:, -2:].set(1.0)
    key = None if key is None else jax.random.key(key)
    found = np.asarray(jax.jit(jax.vmap(lambda s, w: stepfun.sample_intervals(key, s, w, num)))(posts, weights))
    assert (np.diff(found) >= 0).all()
    assert found.min() >= 0
    assert found.max() <= 1


def test_intervals_are_where_the_weight_is():
    keys = jax.random.split(jax.random.key(1), 1000)
    weights = jnp.array([0.2, 0.3, 0.5, 0.8, 0.4])
    found = np.asarray(jax.jit(jax.vmap(lambda key: stepfun.sample_intervals(key, POSTS, weights, 64)))(keys))
    share, _ = np.histogram((found[:, 1:] + found[:, :-1]) / 2, np.asarray(POSTS))
    np.testing.assert_allclose(share / share.sum(), weights / weights.sum(), atol=0.015)


@pytest.mark.parametrize('hot', range(5))
def test_intervals_of_one_hot_weights_lie_in_that_interval(hot):
    found = INTERVALS(None, POSTS, jnp.eye(5)[hot], 32)
    np.testing.assert_allclose(found, np.linspace(POSTS[hot], POSTS[hot + 1], 33), atol=1e-5)


def test_intervals_of_zero_weights_spread_over_all():
    np.testing.assert_allclose(INTERVALS(None, POSTS, jnp.zeros(5), 5)[1:-1], [0.15, 0.35, 0.575, 0.825], atol=1e-5)


@pytest.mark.parametrize('weights', [WEIGHTS, jnp.zeros(5)])
def test_no_gradient_flows_into_intervals(weights):
    slopes = jax.jit(jax.jacrev(lambda s, w: stepfun.sample_intervals(None, s, w, 8), (0, 1)))
    for jacobian in slopes(POSTS, weights):
        np.testing.assert_array_equal(jacobian, 0)


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
    slopes = jax.jit(jax.jacrev(lambda s, w: stepfun.dilate(s, w, 0.02), (0, 1)))
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


def test_intervals_can_be_drawn_from_what_is_dilated_and_annealed():
    # The whole way of a proposal, from one whose weight is all in one interval to one that saw nothing.
    for weights in (jnp.eye(5)[4], jnp.eye(5)[0], jnp.zeros(5), jnp.full(5, 1e-20)):
        for progress in (0.0, 1.0):
            posts, spread = DILATE(POSTS, weights, 0.01)
            found = np.asarray(INTERVALS(jax.random.key(0), posts, ANNEAL(spread, progress), 16))
            assert np.isfinite(found).all()
            assert (np.diff(found) >= 0).all()
            for hot in np.flatnonzero(weights == 1):
                # Within reach, and half of an interval beyond.
                assert found[0] >= POSTS[hot] - 0.015
                assert found[-1] <= POSTS[hot + 1] + 0.015
