import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.ray import histogram, sampling
from nerf.ray.maths import MACHINE_EPS

POSTS = jnp.array([0.0, 0.1, 0.4, 0.5, 0.9, 1.0])
WEIGHTS = jnp.array([0.2, 0.0, 1.4, 0.3, 0.1])
SAMPLE = jax.jit(sampling.sample, static_argnums=3)
INTERVALS = jax.jit(sampling.sample_intervals, static_argnums=3)
DILATE = jax.jit(histogram.dilate)
ANNEAL = jax.jit(lambda weights, progress: histogram.anneal(weights, progress, 10.0))


def random_rows(rows, bins, seed=0):
    """Rows of fenceposts, and weights of which many are exactly zero and some dwarf the others."""
    rng = np.random.default_rng(seed)
    posts = np.sort(rng.uniform(size=(rows, bins + 1)), axis=1)
    weights = rng.uniform(size=(rows, bins)) ** 8 * (rng.uniform(size=(rows, bins)) > 0.4)
    return jnp.asarray(posts, jnp.float32), jnp.asarray(weights, jnp.float32)


def test_stratified_without_a_key_is_the_grid():
    np.testing.assert_allclose(sampling.stratified(None, 5), [0, 0.25, 0.5, 0.75, 1], rtol=1e-6)


def test_stratified_fills_each_stratum_evenly():
    keys = jax.random.split(jax.random.key(0), 4000)
    s = np.asarray(jax.jit(jax.vmap(lambda key: sampling.stratified(key, 5)))(keys))
    lower, upper = np.array([0, 1, 3, 5, 7]) / 8, np.array([1, 3, 5, 7, 8]) / 8
    assert (s >= lower).all()
    assert (s <= upper).all()
    np.testing.assert_allclose(s.mean(0), (lower + upper) / 2, atol=0.005)
    np.testing.assert_allclose(s.std(0), (upper - lower) / np.sqrt(12), rtol=0.05)
    np.testing.assert_allclose(np.corrcoef(s.T), np.eye(5), atol=0.1)


@pytest.mark.parametrize('key', [None, 7])
@pytest.mark.parametrize('num', [2, 33])
def test_samples_rise_and_stay_inside(key, num):
    posts, weights = random_rows(500, 64)
    key = None if key is None else jax.random.key(key)
    found = np.asarray(jax.jit(jax.vmap(lambda s, w: sampling.sample(key, s, w, num)))(posts, weights))
    assert (np.diff(found) >= 0).all()
    assert (found >= posts[:, :1]).all()
    assert (found <= posts[:, -1:]).all()


def test_samples_without_a_key_invert_the_cdf_on_an_even_grid():
    u = np.linspace(0, 1 - MACHINE_EPS, 21)
    expected = np.interp(u, [0, 0.1, 0.100001, 0.8, 0.95, 1], POSTS)
    np.testing.assert_allclose(sampling.sample(None, POSTS, WEIGHTS, 21)[3:], expected[3:], atol=1e-5)


def test_samples_are_distributed_like_the_weights():
    keys = jax.random.split(jax.random.key(1), 2000)
    found = np.asarray(jax.jit(jax.vmap(lambda key: sampling.sample(key, POSTS, WEIGHTS, 16)))(keys)).ravel()
    share, _ = np.histogram(found, np.asarray(POSTS))
    np.testing.assert_allclose(share / found.size, WEIGHTS / WEIGHTS.sum(), atol=0.003)
    # Also within the intervals: the largest distance between the two distribution functions.
    empirical = (np.arange(found.size) + 0.5) / found.size
    exact = np.interp(np.sort(found), np.asarray(POSTS), np.asarray(histogram.cdf(WEIGHTS)))
    assert np.abs(empirical - exact).max() < 0.005


def test_samples_with_a_key_take_one_from_each_stratum():
    posts = jnp.array([0.0, 1.0])
    keys = jax.random.split(jax.random.key(2), 1000)
    found = np.asarray(jax.jit(jax.vmap(lambda key: sampling.sample(key, posts, jnp.ones(1), 8)))(keys))
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
    found = sampling.sample(None, POSTS, jnp.zeros(5), 6)
    np.testing.assert_allclose(found, POSTS, atol=1e-5)


@pytest.mark.parametrize('weights', [WEIGHTS, jnp.zeros(5)])
def test_no_gradient_flows_into_samples(weights):
    jacobian = jax.jit(jax.jacrev(lambda s, w: sampling.sample(None, s, w, 8), (0, 1)))(POSTS, weights)
    np.testing.assert_array_equal(jacobian[0], 0)
    np.testing.assert_array_equal(jacobian[1], 0)


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
    found = np.asarray(jax.vmap(lambda key: sampling.sample_intervals(key, *even, 8))(keys))
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
    found = np.asarray(jax.jit(jax.vmap(lambda s, w: sampling.sample_intervals(key, s, w, num)))(posts, weights))
    assert (np.diff(found) >= 0).all()
    assert found.min() >= 0
    assert found.max() <= 1


def test_intervals_are_where_the_weight_is():
    keys = jax.random.split(jax.random.key(1), 1000)
    weights = jnp.array([0.2, 0.3, 0.5, 0.8, 0.4])
    found = np.asarray(jax.jit(jax.vmap(lambda key: sampling.sample_intervals(key, POSTS, weights, 64)))(keys))
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
    slopes = jax.jit(jax.jacrev(lambda s, w: sampling.sample_intervals(None, s, w, 8), (0, 1)))
    for jacobian in slopes(POSTS, weights):
        np.testing.assert_array_equal(jacobian, 0)


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
