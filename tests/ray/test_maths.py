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


@pytest.mark.parametrize('backend', ['cpu', 'tpu'])
@pytest.mark.parametrize('x', [0.0, 1.0, -300.0, 320.0, -1e4, 1e6])
def test_safe_sine_and_cosine(backend, x, monkeypatch):
    monkeypatch.setattr(maths.jax, 'default_backend', lambda: backend)
    exact = np.float64(np.float32(x))
    # The reduction's period is rounded to float32, which costs 1e-5 for each of its turns.
    tolerance = 1e-6 if backend == 'cpu' or abs(x) < 314 else 3e-8 * abs(x)
    np.testing.assert_allclose(maths.safe_sin(jnp.float32(x)), np.sin(exact), atol=tolerance)
    np.testing.assert_allclose(maths.safe_cos(jnp.float32(x)), np.cos(exact), atol=tolerance)
    np.testing.assert_allclose(jax.grad(maths.safe_sin)(jnp.float32(x)), np.cos(exact), atol=tolerance)


def test_range_reduction_is_used_where_hardware_needs_it(monkeypatch):
    monkeypatch.setattr(maths.jax, 'default_backend', lambda: 'tpu')
    reduced = maths._range_reduced(jnp.array([1.0, -314.0, 1e5, -1e5]))
    np.testing.assert_array_equal(reduced[:2], [1, -314])
    assert float(jnp.max(jnp.abs(reduced))) <= 314.16


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
