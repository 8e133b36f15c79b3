import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.ray import maths


@pytest.mark.parametrize(('x', 'root', 'slope'), [(0.0, 0.0, 0.0), (1.0, 1.0, 0.5), (4.0, 2.0, 0.25), (1e6, 1e3, 5e-4)])
def test_safe_sqrt_and_its_gradient(x, root, slope):
    value, gradient = jax.value_and_grad(maths.safe_sqrt)(x)
    np.testing.assert_allclose([value, gradient], [root, slope], rtol=1e-6)


@pytest.mark.parametrize('scale', [0.0, 1.0, 1e6])
def test_norm_and_its_gradient(scale):
    v = scale * jnp.array([3.0, 0.0, -4.0])
    value, gradient = jax.value_and_grad(maths.norm)(v)
    np.testing.assert_allclose(value, 5 * scale, rtol=1e-6)
    np.testing.assert_allclose(gradient, [0.6, 0, -0.8] if scale else [0, 0, 0], rtol=1e-6)


@pytest.mark.parametrize('scale', [1.0, 1e6])
def test_normalise_is_unit_and_its_jacobian_projects_along_it(scale):
    v = np.array([1.0, 2.0, -2.0])
    unit = v / 3
    np.testing.assert_allclose(maths.normalise(jnp.array(scale * v)), unit, rtol=1e-6)
    for jacobian in (jax.jacrev, jax.jacfwd):
        found = jacobian(maths.normalise)(jnp.array(scale * v))
        np.testing.assert_allclose(found * 3 * scale, np.eye(3) - np.outer(unit, unit), atol=1e-5)


def test_normalise_of_zero_is_zero_with_a_finite_gradient_in_both_modes():
    zero = jnp.zeros(3)
    np.testing.assert_array_equal(maths.normalise(zero), 0)
    assert np.isfinite(jax.jacrev(maths.normalise)(zero)).all()
    assert np.isfinite(jax.jacfwd(maths.normalise)(zero)).all()


def test_matmul_asks_for_full_precision_and_equals_float64():
    rng = np.random.default_rng(0)
    a, b = rng.normal(size=(3, 4)).astype(np.float32), rng.normal(size=4).astype(np.float32)
    np.testing.assert_allclose(maths.matmul(jnp.array(a), jnp.array(b)), a.astype(np.float64) @ b, rtol=1e-5, atol=1e-6)
    assert 'HIGHEST' in str(jax.make_jaxpr(maths.matmul)(a, b))


def test_exclusive_cumsum():
    np.testing.assert_array_equal(maths.exclusive_cumsum(jnp.array([1.0, 2.0, 4.0, 8.0])), [0, 1, 3, 7])
    np.testing.assert_array_equal(maths.exclusive_cumsum(jnp.array([5.0])), [0])


def test_exclusive_cumsum_ignores_what_comes_last():
    huge = jnp.array([1.0, 2.0, jnp.inf])
    np.testing.assert_array_equal(maths.exclusive_cumsum(huge), [0, 1, 3])
    np.testing.assert_array_equal(jax.grad(lambda x: maths.exclusive_cumsum(x)[2])(huge), [1, 1, 0])


REACH = 131_072  # up to which sines and cosines are right


def hard_angles():
    """Angles over the whole range: at random, near multiples of pi / 2 (where the quadrant changes), and the ends."""
    rng = np.random.default_rng(0)
    turns = 0.5 * np.pi * np.arange(-83_443, 83_444)
    angles = [rng.uniform(-REACH, REACH, 300_000), rng.uniform(-10, 10, 100_000), turns, 10.0 ** rng.uniform(-40, 0, 1000)]
    x = np.concatenate([*angles, [0.0, REACH, -REACH]]).astype(np.float32)
    return np.clip(np.concatenate([x, np.nextafter(x, np.float32(np.inf))]), -REACH, REACH)


def value_and_slope(x, is_cosine):
    flags, ones = np.full(x.shape, is_cosine), jnp.ones_like(x)
    return jax.jvp(lambda x: maths.sin_or_cos(x, flags), (x,), (ones,))


@pytest.mark.parametrize('is_cosine', [False, True])
@pytest.mark.parametrize('compiled', [True, False])
def test_sine_and_cosine_of_the_float32_argument_and_their_slopes(is_cosine, compiled):
    # Without jit, no multiplication and addition are done as one, as on a machine that cannot.
    x = hard_angles()
    call = jax.jit(value_and_slope, static_argnums=1) if compiled else value_and_slope
    value, slope = (np.asarray(found, np.float64) for found in call(jnp.asarray(x), is_cosine))
    exact = x.astype(np.float64)
    expected = (np.cos(exact), -np.sin(exact)) if is_cosine else (np.sin(exact), np.cos(exact))
    np.testing.assert_allclose(value, expected[0], rtol=0, atol=4e-7)
    np.testing.assert_allclose(slope, expected[1], rtol=0, atol=4e-7)
    assert max(np.abs(value).max(), np.abs(slope).max()) <= 1


@pytest.mark.parametrize('is_cosine', [False, True])
def test_sine_and_cosine_of_huge_arguments_stay_bounded(is_cosine):
    x = (10 ** np.random.default_rng(1).uniform(5, 38, 100_000)).astype(np.float32)
    for found in jax.jit(value_and_slope, static_argnums=1)(np.concatenate([x, -x]), is_cosine):
        assert np.abs(found).max() <= 1  # NaN is not


def test_sine_and_cosine_have_all_derivatives_in_both_modes():
    for is_cosine, expected in ((False, -np.sin(0.7)), (True, -np.cos(0.7))):
        for curvature in (jax.grad(jax.grad(maths.sin_or_cos)), jax.jacfwd(jax.jacrev(maths.sin_or_cos))):
            np.testing.assert_allclose(curvature(jnp.float32(0.7), jnp.bool_(is_cosine)), expected, rtol=1e-6)
    assert np.isnan(maths.sin_or_cos(jnp.float32(np.nan), jnp.bool_(False)))


def test_sine_and_cosine_in_float64_are_exact():
    with jax.enable_x64(True):
        x = jnp.float64(12345.6)
        np.testing.assert_allclose(maths.sin_or_cos(x, jnp.bool_(False)), np.sin(12345.6), rtol=1e-14)
        np.testing.assert_allclose(jax.grad(maths.sin_or_cos)(x, jnp.bool_(True)), -np.sin(12345.6), rtol=1e-14)


def test_srgb_known_values_and_both_pieces():
    linear = np.array([0.0, 0.001, 0.0031308, 0.18, 0.5, 1.0])
    srgb = np.array([0.0, 0.01292, 0.0404499, 0.4613561, 0.7353570, 1.0])
    np.testing.assert_allclose(maths.linear_to_srgb(jnp.array(linear)), srgb, atol=1e-6)
    np.testing.assert_allclose(maths.srgb_to_linear(jnp.array(srgb)), linear, atol=1e-6)


def test_srgb_round_trip_and_gradients():
    x = jnp.linspace(0.0, 1.0, 1001)
    np.testing.assert_allclose(maths.srgb_to_linear(maths.linear_to_srgb(x)), x, atol=1e-6)
    np.testing.assert_allclose(maths.linear_to_srgb(maths.srgb_to_linear(x)), x, atol=1e-6)
    np.testing.assert_allclose(jax.grad(maths.linear_to_srgb)(0.0), 12.92, rtol=1e-6)
    np.testing.assert_allclose(jax.grad(maths.srgb_to_linear)(0.0), 1 / 12.92, rtol=1e-6)
    assert np.isfinite([jax.grad(maths.linear_to_srgb)(1e6), jax.grad(maths.srgb_to_linear)(1e6)]).all()


def test_split_key_gives_independent_keys_and_passes_none_on():
    assert maths.split_key(None, 3) == [None, None, None]
    keys = maths.split_key(jax.random.key(0), 3)
    assert len(keys) == 3
    assert len({float(jax.random.uniform(key)) for key in keys}) == 3
