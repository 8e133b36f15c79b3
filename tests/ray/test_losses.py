import jax
import jax.numpy as jnp
import numpy as np

from nerf.ray import losses
from nerf.ray.structs import Level, RenderedPixel, Rendering

TARGET = jnp.array([0.5, 0.25, 0.0])


def rendering(*rgb):
    return Rendering(rgb=jnp.array(rgb), acc=jnp.array(1.0), distance=jnp.array(1.0), distance_median=jnp.array(1.0))


def pixel(levels, renderings):
    return RenderedPixel(ray=None, levels=levels, renderings=renderings, target=TARGET, progress=0.0)


LEVELS = [rendering(0.0, 0.0, 0.0), rendering(1.0, 0.25, 0.0), rendering(0.5, 0.75, 0.3)]


def test_squared_error_is_the_mean_over_channels():
    np.testing.assert_allclose(losses.squared_error(jnp.array([1.0, 0.25, 0.5]), TARGET), (0.25 + 0.25) / 3, rtol=1e-6)
    np.testing.assert_array_equal(losses.squared_error(TARGET, TARGET), 0)
    np.testing.assert_array_equal(jax.grad(losses.squared_error)(TARGET, TARGET), 0)


def test_mse_takes_the_last_level_and_coarse_mse_the_others():
    np.testing.assert_allclose(losses.mse(pixel([], LEVELS)), (0.25 + 0.09) / 3, rtol=1e-6)
    np.testing.assert_allclose(losses.coarse_mse(pixel([], LEVELS)), (0.25 + 0.0625) / 3 + 0.25 / 3, rtol=1e-6)
    assert float(losses.coarse_mse(pixel([], LEVELS[:1]))) == 0


def level(s, weights):
    s, weights = jnp.asarray(s, jnp.float32), jnp.asarray(weights, jnp.float32)
    return Level(s=s, t=6 * s, density=weights, rgb=jnp.zeros((len(weights), 3)), weights=weights)


def random_level(seed, count):
    rng = np.random.default_rng(seed)
    return level(np.sort(rng.uniform(size=count + 1)), rng.uniform(size=count) / count)


def brute_force_interlevel(proposal, last):
    s, w, ps, pw = (np.asarray(x, np.float64) for x in (last.s, last.weights, proposal.s, proposal.weights))
    total = 0.0
    for i in range(len(w)):
        bound = sum(pw[j] for j in range(len(pw)) if min(s[i + 1], ps[j + 1]) > max(s[i], ps[j]))
        total += max(0.0, w[i] - bound) ** 2 / w[i]
    return total


def test_interlevel_against_a_loop_over_all_pairs():
    for seed in range(5):
        proposals = [random_level(10 + seed, 7), random_level(20 + seed, 11)]
        last = random_level(seed, 6)
        expected = sum(brute_force_interlevel(each, last) for each in proposals)
        assert expected > 0.01
        np.testing.assert_allclose(losses.interlevel(pixel([*proposals, last], [])), expected, rtol=1e-5)


def test_interlevel_by_hand():
    # The first two intervals of the proposal touch the first one, which has 0.1 more than they allow.
    proposal, last = level([0.0, 0.2, 0.6, 1.0], [0.1, 0.2, 0.3]), level([0.1, 0.5, 1.0], [0.4, 0.5])
    np.testing.assert_allclose(losses.interlevel(pixel([proposal, last], [])), 0.1**2 / 0.4, rtol=1e-4)
    np.testing.assert_allclose(losses.upper_bound(last.s, proposal.s, proposal.weights), [0.3, 0.5], rtol=1e-6)
    # An interval of the proposal that only meets the end of one of the last level allows it nothing.
    np.testing.assert_allclose(losses.upper_bound(jnp.array([0.2, 0.6]), proposal.s, proposal.weights), [0.2], rtol=1e-6)


def test_interlevel_is_nothing_where_the_proposal_is_the_same_or_nothing_is_seen():
    last = random_level(0, 6)
    assert float(losses.interlevel(pixel([last, last], []))) < 1e-12
    empty = last.replace(weights=jnp.zeros(6))
    value, slope = jax.value_and_grad(lambda w: losses.interlevel(pixel([last.replace(weights=w), empty], [])))(jnp.zeros(6))
    np.testing.assert_array_equal(value, 0)
    np.testing.assert_array_equal(slope, 0)


def test_interlevel_teaches_the_proposal_alone():
    def loss(weights, last_weights, s):
        levels = [random_level(1, 7).replace(weights=weights), random_level(0, 6).replace(weights=last_weights, s=s)]
        return losses.interlevel(pixel(levels, []))

    args = (random_level(1, 7).weights, random_level(0, 6).weights, random_level(0, 6).s)
    proposal, last, s = jax.grad(loss, (0, 1, 2))(*args)
    assert float(proposal.min()) < -0.1  # more weight where too little was allowed
    assert float(proposal.max()) <= 0
    np.testing.assert_array_equal(last, 0)
    np.testing.assert_array_equal(s, 0)


def test_distortion_against_the_double_sum():
    for seed in range(3):
        one = random_level(seed, 9)
        s, w = np.asarray(one.s, np.float64), np.asarray(one.weights, np.float64)
        middle = 0.5 * (s[1:] + s[:-1])
        expected = np.sum(w[:, None] * w * np.abs(middle[:, None] - middle)) + np.sum(w**2 * np.diff(s)) / 3
        np.testing.assert_allclose(losses.distortion(pixel([random_level(7, 4), one], [])), expected, rtol=1e-5)


def test_distortion_of_one_interval_and_of_two_points():
    np.testing.assert_allclose(losses.distortion(pixel([level([0.2, 0.5], [0.6])], [])), 0.36 * 0.3 / 3, rtol=1e-6)
    apart = level([0.1, 0.1, 0.4, 0.4], [0.5, 0.0, 0.5])
    np.testing.assert_allclose(losses.distortion(pixel([apart], [])), 2 * 0.25 * 0.3, rtol=1e-6)


def test_charbonnier_in_closed_form():
    expected = (np.sqrt(1e-6) + np.sqrt(0.5**2 + 1e-6) + np.sqrt(0.3**2 + 1e-6)) / 3
    np.testing.assert_allclose(losses.charbonnier(pixel([], LEVELS)), expected, rtol=1e-6)


def test_charbonnier_is_an_absolute_error_that_is_smooth_at_zero():
    def slope(error):
        return jax.grad(lambda rgb: losses.charbonnier(pixel([], [rendering(0.0, 0.0, 0.0).replace(rgb=rgb)])))(TARGET + error)

    np.testing.assert_array_equal(slope(jnp.zeros(3)), 0)
    np.testing.assert_allclose(slope(jnp.array([1e-3, 0.0, -1e-3])), np.array([1, 0, -1]) / np.sqrt(2) / 3, rtol=1e-3)
    np.testing.assert_allclose(slope(jnp.array([0.4, -0.2, 0.1])), np.array([1, -1, 1]) / 3, rtol=1e-4)


def test_registry_names_are_the_functions():
    for name in ('mse', 'charbonnier', 'coarse_mse', 'interlevel', 'distortion'):
        assert losses.LOSSES[name] is getattr(losses, name)
