import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.ray import spacing

S = jnp.linspace(0.0, 1.0, 17)


def test_linear_by_hand():
    np.testing.assert_allclose(spacing.s_to_t(jnp.array([0.0, 0.25, 1.0]), 2.0, 6.0), [2, 3, 6])


def test_disparity_by_hand():
    # Half way between 1/1 and 1/4 is 5/8.
    np.testing.assert_allclose(spacing.s_to_t(jnp.array([0.0, 0.5, 1.0]), 1.0, 4.0, 'disparity'), [1, 1.6, 4], rtol=1e-6)


@pytest.mark.parametrize('name', spacing.SPACINGS)
@pytest.mark.parametrize(('near', 'far'), [(2.0, 6.0), (0.1, 1e3), (1e-3, 1e6)])
def test_round_trip_rising_and_inside(name, near, far):
    t = spacing.s_to_t(S, near, far, name)
    np.testing.assert_allclose([t[0], t[-1]], [near, far], rtol=1e-6)
    assert (np.diff(t) > 0).all()
    assert float(t[0]) >= np.float32(near)
    assert float(t[-1]) <= np.float32(far)
    # In disparity the last steps before `far` are lost to rounding where far / near is huge.
    np.testing.assert_allclose(spacing.t_to_s(t, near, far, name), S, atol=1e-6)


@pytest.mark.parametrize('name', spacing.SPACINGS)
def test_positions_stay_inside_for_any_range(name):
    rng = np.random.default_rng(0)
    near = jnp.asarray(rng.uniform(0.01, 3.0, 2000), jnp.float32)
    far = near * jnp.asarray(rng.uniform(1.0, 100.0, 2000), jnp.float32)
    t = jax.vmap(lambda n, f: spacing.s_to_t(S, n, f, name))(near, far)
    assert (t >= near[:, None]).all()
    assert (t <= far[:, None]).all()
    np.testing.assert_allclose(t[:, 0], near, rtol=3e-7)
    np.testing.assert_allclose(t[:, -1], far, rtol=3e-7)


def test_outside_the_range_s_is_clipped():
    np.testing.assert_array_equal(spacing.t_to_s(jnp.array([1.0, 7.0]), 2.0, 6.0), [0, 1])


@pytest.mark.parametrize('near', [0.0, -1.0, jnp.array(0.0)])
def test_disparity_from_the_eye_is_refused_by_name(near):
    with pytest.raises(ValueError, match=r'near = -?[01].0 with disparity spacing: expected near > 0'):
        spacing.s_to_t(S, near, 6.0, 'disparity')
    with pytest.raises(ValueError, match='near'):
        spacing.check_near(near, 'disparity')


def test_linear_may_begin_at_the_eye():
    np.testing.assert_allclose(spacing.s_to_t(S, 0.0, 4.0), 4 * S)
    spacing.check_near(0.0, 'linear')


@pytest.mark.parametrize('name', spacing.SPACINGS)
def test_gradients_are_finite_and_right_inside(name):
    gradient = jax.jacrev(lambda s: spacing.s_to_t(s, 1.0, 4.0, name))(S)
    assert np.isfinite(gradient).all()
    t = spacing.s_to_t(S, 1.0, 4.0, name)
    slope = {'linear': 3.0 + 0 * t, 'disparity': 0.75 * t**2}[name]
    np.testing.assert_allclose(jnp.diagonal(gradient)[1:-1], slope[1:-1], rtol=1e-4)
