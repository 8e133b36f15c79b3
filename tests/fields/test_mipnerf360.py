import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.fields.mipnerf360 import MipNeRF360Field, ProposalMLP
from nerf.ray import encodings
from nerf.ray.structs import Gaussian

KEY = jax.random.key(0)
GAUSSIAN = Gaussian(
    mean=jnp.array([0.3, -0.7, 1.1]), cov=jnp.array([[0.01, 0.004, 0.0], [0.004, 0.02, -0.01], [0.0, -0.01, 0.03]])
)
VIEWDIR = jnp.array([0.6, 0.0, -0.8])
TINY = {
    **{'depth': 6, 'width': 16, 'position_degree': 3, 'bottleneck': 5},
    **{'view_width': 8, 'view_degree': 2, 'compute_dtype': 'float32'},
}
PAPER = {
    **{'depth': 8, 'width': 1024, 'position_degree': 12, 'bottleneck': 256},
    **{'view_width': 128, 'view_degree': 4, 'compute_dtype': 'float32'},
}


@functools.cache
def tiny():
    """A field with a skip, parameters none of which is zero, and the compiled call."""
    field = MipNeRF360Field(**TINY)
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(field.init, KEY, GAUSSIAN, VIEWDIR)
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.uniform(-0.4, 0.5, leaf.shape), jnp.float32), shapes)
    return params, jax.jit(field.apply)


def zeroed_but(values):
    """Parameters of zeros, but for the biases of the layers named here."""
    params = jax.tree.map(jnp.zeros_like, tiny()[0])['params']
    for path, value in values.items():
        layer = functools.reduce(dict.__getitem__, path, params)
        layer['bias'] = jnp.full_like(layer['bias'], value)
    return {'params': params}


def dense64(params, a, b=None):
    """A Dense layer of joined inputs, in float64."""
    kernel = [params['kernel'], *([] if b is None else [params['second_kernel']])]
    joined = np.concatenate([a, *([] if b is None else [b])])
    return joined @ np.concatenate(kernel).astype(np.float64) + np.asarray(params['bias'], np.float64)


def count(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def test_the_field_is_the_mlp_of_the_paper():
    params, apply = tiny()
    density, rgb, _ = apply(params, GAUSSIAN, VIEWDIR)
    params = params['params']
    encoded = np.asarray(encodings.integrated_off_axis(GAUSSIAN, 0, 3), np.float64)
    x = encoded
    for i in range(6):
        # The encoding is joined to what comes out of the fifth layer.
        x = np.maximum(dense64(params['trunk'][f'layer_{i}'], x, *([encoded] if i == 5 else [])), 0)
    raw_density = dense64(params['raw_density'], x)[0]
    looks = np.asarray(encodings.direction(VIEWDIR, 2), np.float64)
    hidden = np.maximum(dense64(params['head']['view'], dense64(params['head']['bottleneck'], x), looks), 0)
    raw_rgb = dense64(params['head']['rgb'], hidden)
    np.testing.assert_allclose(density, np.log1p(np.exp(raw_density - 1)), rtol=1e-4)
    np.testing.assert_allclose(rgb, 1.002 / (1 + np.exp(-raw_rgb)) - 0.001, rtol=1e-4)


def test_the_proposal_is_a_trunk_and_its_density():
    field = ProposalMLP(2, 8, 2)
    params = field.init(KEY, GAUSSIAN)
    x = np.asarray(encodings.integrated_off_axis(GAUSSIAN, 0, 2), np.float64)
    for i in range(2):
        x = np.maximum(dense64(params['params']['trunk'][f'layer_{i}'], x), 0)
    raw = dense64(params['params']['raw_density'], x)[0]
    np.testing.assert_allclose(field.apply(params, GAUSSIAN), np.log1p(np.exp(raw - 1)), rtol=1e-5)


def test_kernels_are_initialised_within_he_limits():
    params = MipNeRF360Field(**TINY).init(KEY, GAUSSIAN, VIEWDIR)['params']
    encoded = params['trunk']['layer_0']['kernel'].shape[0]
    for kernel, inputs in (
        (params['trunk']['layer_0']['kernel'], encoded),
        (params['trunk']['layer_5']['second_kernel'], 16 + encoded),
        (params['head']['view']['kernel'], 5 + 15),
    ):
        assert 0.9 * np.sqrt(6 / inputs) < np.abs(kernel).max() <= np.sqrt(6 / inputs)


def test_numbers_of_parameters_are_those_of_the_paper():
    field = jax.eval_shape(MipNeRF360Field(**PAPER).init, KEY, GAUSSIAN, VIEWDIR)
    proposal = jax.eval_shape(ProposalMLP(4, 256, 12).init, KEY, GAUSSIAN)
    layers = 504 * 1024 + 1024 + 6 * (1024**2 + 1024) + (1024 + 504) * 1024 + 1024
    colour = 1024 * 256 + 256 + (256 + 27) * 128 + 128 + 128 * 3 + 3
    assert count(field) == layers + 1024 + 1 + colour == 8_680_580
    assert count(proposal) == 504 * 256 + 256 + 3 * (256**2 + 256) + 256 + 1 == 326_913
    # Together the 9.0 M of the paper's table 1.


def test_at_raw_zero():
    _, apply = tiny()
    density, rgb, _ = apply(zeroed_but({}), GAUSSIAN, VIEWDIR)
    np.testing.assert_allclose(density, np.log1p(np.exp(-1)), rtol=1e-6)
    np.testing.assert_allclose(rgb, 0.5, rtol=1e-6)


@pytest.mark.parametrize(('raw', 'reached'), [(-100.0, -0.001), (100.0, 1.001)])
def test_colours_reach_beyond_black_and_white(raw, reached):
    _, apply = tiny()
    np.testing.assert_allclose(apply(zeroed_but({('head', 'rgb'): raw}), GAUSSIAN, VIEWDIR)[1], reached, atol=1e-6)


@pytest.mark.parametrize(('raw', 'density'), [(-100.0, 0.0), (1.0, np.log(2)), (100.0, 99.0)])
def test_density_and_its_gradient_far_out(raw, density):
    _, apply = tiny()
    found, slope = jax.value_and_grad(lambda x: apply(zeroed_but({('raw_density',): x}), GAUSSIAN, VIEWDIR)[0])(raw)
    np.testing.assert_allclose(found, density, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(slope, 1 / (1 + np.exp(1 - raw)), rtol=1e-5, atol=1e-12)


def test_colour_depends_on_the_view_direction_and_density_does_not():
    params, apply = tiny()
    one, other = (apply(params, GAUSSIAN, viewdir) for viewdir in (VIEWDIR, jnp.array([0.0, 1.0, 0.0])))
    assert float(one[0]) == float(other[0])
    assert float(jnp.abs(one[1] - other[1]).max()) > 1e-3
