import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.fields.mipnerf360 import Field360, Layer, Trunk, he_uniform
from nerf.ray import encodings
from nerf.ray.structs import Gaussian

KEY = jax.random.key(0)
GAUSSIAN = Gaussian(
    mean=jnp.array([0.3, -0.7, 1.1]), cov=jnp.array([[0.01, 0.004, 0.0], [0.004, 0.02, -0.01], [0.0, -0.01, 0.03]])
)
VIEWDIR = jnp.array([0.6, 0.0, -0.8])
TINY = {
    **{'depth': 6, 'width': 16, 'position_degree': 3, 'bottleneck': 5},
    **{'view_width': 8, 'view_degree': 2, 'rgb_padding': 0.02, 'compute_dtype': 'float32'},
}
PAPER = {
    **{'depth': 8, 'width': 1024, 'position_degree': 12, 'bottleneck': 256},
    **{'view_width': 128, 'view_degree': 4, 'rgb_padding': 0.001, 'compute_dtype': 'float32'},
}


@functools.cache
def tiny():
    """A field with a skip, parameters none of which is zero, and the compiled call."""
    field = Field360(**TINY)
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(field.init, KEY, GAUSSIAN, VIEWDIR)
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.uniform(-0.4, 0.5, leaf.shape), jnp.float32), shapes)
    return params, jax.jit(field.apply)


def zeroed_but(values):
    """Parameters of zeros, but for the biases of the layers named here."""
    params = jax.tree.map(jnp.zeros_like, tiny()[0])['params']
    for (*path, name), value in values.items():
        network = functools.reduce(dict.__getitem__, path, params)
        network[name] = {'first': {**network[name]['first'], 'bias': jnp.full_like(network[name]['first']['bias'], value)}}
    return {'params': params}


def count(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def test_initialiser_is_uniform_within_the_limits_of_the_whole_layer():
    inputs = 300 + 27
    for i, rows in enumerate((300, 27)):
        block = np.asarray(he_uniform(inputs)(jax.random.key(i), (rows, 64)))
        limit = np.sqrt(6 / inputs)
        assert block.shape == (rows, 64)
        assert 0.98 * limit < np.abs(block).max() <= limit
        np.testing.assert_allclose(block.std(), limit / np.sqrt(3), rtol=0.05)


def test_a_layer_of_two_inputs_is_one_layer_of_both():
    layer, a, b = Layer(64, 'float32'), jnp.linspace(-1, 1, 30), jnp.linspace(-2, 1, 20)
    params = layer.init(KEY, a, b)['params']
    assert 'bias' not in params['second']
    np.testing.assert_array_equal(params['first']['bias'], 0)
    for name in ('first', 'second'):
        assert 0.95 * np.sqrt(6 / 50) < np.abs(params[name]['kernel']).max() <= np.sqrt(6 / 50)
    bias = jnp.linspace(0, 1, 64)
    found = layer.apply({'params': {**params, 'first': {**params['first'], 'bias': bias}}}, a, b)
    kernel = np.concatenate([params['first']['kernel'], params['second']['kernel']])
    np.testing.assert_allclose(found, np.concatenate([a, b]) @ kernel + bias, atol=1e-5)
    alone = layer.init(KEY, a)['params']
    assert set(alone) == {'first'}
    assert 0.95 * np.sqrt(6 / 30) < np.abs(alone['first']['kernel']).max() <= np.sqrt(6 / 30)


def layer64(params, *inputs):
    """One layer of joined inputs, in float64."""
    parts = [np.asarray(params[name]['kernel'], np.float64) for name in ('first', 'second')[: len(inputs)]]
    return np.concatenate(inputs) @ np.concatenate(parts) + np.asarray(params['first']['bias'], np.float64)


def test_the_field_is_the_mlp_of_the_paper():
    params, apply = tiny()
    density, rgb = apply(params, GAUSSIAN, VIEWDIR)
    params = params['params']
    encoded = np.asarray(encodings.integrated_off_axis(GAUSSIAN, 0, 3), np.float64)
    x = encoded
    for i in range(6):
        # The encoding is joined to what comes out of the fifth layer.
        inputs = (x, encoded) if i == 5 else (x,)
        x = np.maximum(layer64(params['trunk'][f'layer_{i}'], *inputs), 0)
    raw_density = layer64(params['trunk']['density'], x)[0]
    looks = np.asarray(encodings.direction(VIEWDIR, 2), np.float64)
    hidden = np.maximum(layer64(params['view'], layer64(params['bottleneck'], x), looks), 0)
    raw_rgb = layer64(params['rgb'], hidden)
    np.testing.assert_allclose(density, np.log1p(np.exp(raw_density - 1)), rtol=1e-4)
    np.testing.assert_allclose(rgb, 1.04 / (1 + np.exp(-raw_rgb)) - 0.02, rtol=1e-4)


def test_the_skip_joins_the_encoding_after_the_fifth_layer():
    shapes = jax.eval_shape(Field360(**PAPER).init, KEY, GAUSSIAN, VIEWDIR)['params']['trunk']
    inputs = [shapes[f'layer_{i}']['first']['kernel'].shape[0] for i in range(8)]
    assert inputs == [504] + [1024] * 7
    assert {name: part['second']['kernel'].shape[0] for name, part in shapes.items() if 'second' in part} == {'layer_5': 504}


def test_numbers_of_parameters_are_those_of_the_paper():
    field = jax.eval_shape(Field360(**PAPER).init, KEY, GAUSSIAN, VIEWDIR)
    proposal = jax.eval_shape(Trunk(4, 256, 12, 'float32').init, KEY, GAUSSIAN)
    layers = 504 * 1024 + 1024 + 6 * (1024**2 + 1024) + (1024 + 504) * 1024 + 1024
    colour = 1024 * 256 + 256 + (256 + 27) * 128 + 128 + 128 * 3 + 3
    assert count(field) == layers + 1024 + 1 + colour == 8_680_580
    assert count(proposal) == 504 * 256 + 256 + 3 * (256**2 + 256) + 256 + 1 == 326_913
    # Together the 9.0 M of the paper's table 1.


def test_at_raw_zero():
    _, apply = tiny()
    density, rgb = apply(zeroed_but({}), GAUSSIAN, VIEWDIR)
    np.testing.assert_allclose(density, np.log1p(np.exp(-1)), rtol=1e-6)
    np.testing.assert_allclose(rgb, 0.5, rtol=1e-6)


@pytest.mark.parametrize(('raw', 'reached'), [(-100.0, -0.02), (100.0, 1.02)])
def test_colours_reach_beyond_black_and_white(raw, reached):
    _, apply = tiny()
    np.testing.assert_allclose(apply(zeroed_but({('rgb',): raw}), GAUSSIAN, VIEWDIR)[1], reached, atol=1e-6)


@pytest.mark.parametrize(('raw', 'density'), [(-100.0, 0.0), (1.0, np.log(2)), (100.0, 99.0)])
def test_density_and_its_gradient_far_out(raw, density):
    _, apply = tiny()
    found, slope = jax.value_and_grad(lambda x: apply(zeroed_but({('trunk', 'density'): x}), GAUSSIAN, VIEWDIR)[0])(raw)
    np.testing.assert_allclose(found, density, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(slope, 1 / (1 + np.exp(1 - raw)), rtol=1e-5, atol=1e-12)


def test_colour_depends_on_the_view_direction_and_density_does_not():
    params, apply = tiny()
    one, other = (apply(params, GAUSSIAN, viewdir) for viewdir in (VIEWDIR, jnp.array([0.0, 1.0, 0.0])))
    assert float(one[0]) == float(other[0])
    assert float(jnp.abs(one[1] - other[1]).max()) > 1e-3


def test_a_trunk_passes_on_its_last_activations():
    trunk = Trunk(2, 8, 2, 'float32')
    params = trunk.init(KEY, GAUSSIAN)
    density, x = trunk.apply(params, GAUSSIAN)
    assert x.shape == (8,)
    assert (np.asarray(x) >= 0).all()
    raw = layer64(params['params']['density'], np.asarray(x, np.float64))[0]
    np.testing.assert_allclose(density, np.log1p(np.exp(raw - 1)), rtol=1e-5)
