import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from nerf.fields.layers import Dense, Head, Trunk, glorot_limit, he_limit

KEY = jax.random.key(0)


def dense64(params, a, b=None):
    """A Dense layer of joined inputs, in float64."""
    kernel = [params['kernel'], *([] if b is None else [params['second_kernel']])]
    joined = np.concatenate([a, *([] if b is None else [b])])
    return joined.astype(np.float64) @ np.concatenate(kernel).astype(np.float64) + np.asarray(params['bias'], np.float64)


@pytest.mark.parametrize(('limit', 'bound'), [(glorot_limit, np.sqrt(6 / (300 + 27 + 64))), (he_limit, np.sqrt(6 / 327))])
def test_initialisation_is_uniform_within_the_limits_of_the_joint_layer(limit, bound):
    params = Dense(64, limit=limit).init(KEY, jnp.zeros(300), jnp.zeros(27))['params']
    np.testing.assert_array_equal(params['bias'], 0)
    for name, rows in (('kernel', 300), ('second_kernel', 27)):
        kernel = np.asarray(params[name])
        assert kernel.shape == (rows, 64)
        assert 0.98 * bound < np.abs(kernel).max() <= bound
        np.testing.assert_allclose(kernel.std(), bound / np.sqrt(3), rtol=0.05)
        np.testing.assert_allclose(kernel.mean(), 0, atol=0.05 * bound)


def test_two_inputs_are_one_input_of_both():
    layer, a, b = Dense(64), jnp.linspace(-1, 1, 30), jnp.linspace(-2, 1, 20)
    params = {**layer.init(KEY, a, b)['params'], 'bias': jnp.linspace(0, 1, 64)}
    np.testing.assert_allclose(layer.apply({'params': params}, a, b), dense64(params, a, b), atol=1e-5)
    assert set(layer.init(KEY, a)['params']) == {'kernel', 'bias'}
    assert set(Dense(64, use_bias=False).init(KEY, a)['params']) == {'kernel'}


def test_of_one_input_it_is_linens_dense():
    params = {'params': {**Dense(64).init(KEY, jnp.zeros(300))['params'], 'bias': jnp.linspace(0, 1, 64)}}
    x = jnp.linspace(-1, 1, 300)
    np.testing.assert_allclose(Dense(64).apply(params, x), nn.Dense(64).apply(params, x), atol=1e-5)


def test_the_encoding_joins_the_trunk_after_the_fifth_layer():
    trunk, encoded = Trunk(depth=8, width=16), jnp.linspace(-1, 1, 9)
    params = jax.jit(trunk.init)(KEY, encoded)['params']
    assert [params[f'layer_{i}']['kernel'].shape[0] for i in range(8)] == [9] + [16] * 7
    assert [name for name in params if 'second_kernel' in params[name]] == ['layer_5']
    x = encoded
    for i in range(8):
        x = np.maximum(dense64(params[f'layer_{i}'], x, encoded if i == 5 else None), 0)
    np.testing.assert_allclose(trunk.apply({'params': params}, encoded), x, atol=1e-5)


def test_the_view_direction_joins_the_bottleneck():
    head, x, viewdir = Head(bottleneck=12, view_width=8), jnp.linspace(0, 1, 16), jnp.linspace(-1, 1, 27)
    params = jax.jit(head.init)(KEY, x, viewdir)['params']
    hidden = np.maximum(dense64(params['view'], dense64(params['bottleneck'], x), viewdir), 0)
    np.testing.assert_allclose(head.apply({'params': params}, x, viewdir), dense64(params['rgb'], hidden), atol=1e-5)


def test_a_head_without_view_directions_is_one_layer():
    head, x, viewdir = Head(bottleneck=12, view_width=8, use_viewdirs=False), jnp.linspace(0, 1, 16), jnp.zeros(27)
    params = head.init(KEY, x, viewdir)['params']
    assert set(params) == {'rgb'}
    np.testing.assert_allclose(head.apply({'params': params}, x, viewdir), dense64(params['rgb'], x), atol=1e-5)
