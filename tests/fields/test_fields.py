import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from nerf.fields.mipnerf import MipNeRFField
from nerf.fields.nerf import NeRFField
from nerf.ray import encodings
from nerf.ray.structs import Gaussian

POINT = jnp.array([0.3, -0.7, 1.1])
LOOKS = [jnp.array([0.6, 0.0, -0.8]), jnp.array([0.0, 1.0, 0.0])]
GAUSSIAN = Gaussian(mean=POINT, cov=jnp.diag(jnp.array([0.01, 0.02, 0.03])))
KEY = jax.random.key(0)
TINY = {'depth': 3, 'width': 16, 'view_width': 8, 'position_degree': 3, 'view_degree': 2}
PAPER = {'depth': 8, 'width': 256, 'view_width': 128, 'use_viewdirs': True, 'view_degree': 4}


def nerf_field(**options):
    return NeRFField(**{**TINY, 'use_viewdirs': True, 'density_activation': 'relu', **options})


def mipnerf_field(**options):
    return MipNeRFField(**{**TINY, 'use_viewdirs': True, **options})


CALLS = {
    'nerf': (nerf_field, lambda viewdir: (POINT, viewdir, jnp.float32(0.0))),
    'mipnerf': (mipnerf_field, lambda viewdir: (GAUSSIAN, viewdir, jnp.float32(0.0))),
}


def zeroed(field, *args):
    return jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), jax.eval_shape(field.init, KEY, *args))


def with_output(params, name, value):
    """Parameters of zeros whose layer `name` puts out `value`, whatever goes in."""
    params = jax.tree.map(lambda leaf: leaf, params)
    layer = params['params']['head']['rgb'] if name == 'rgb' else params['params'][name]
    layer['bias'] = jnp.full(layer['bias'].shape, value)
    return params


def count(params):
    return sum(leaf.size for leaf in jax.tree.leaves(params))


def test_numbers_of_parameters_are_those_of_the_papers():
    nerf = jax.eval_shape(
        NeRFField(**PAPER, position_degree=10, density_activation='relu').init, KEY, *CALLS['nerf'][1](LOOKS[0])
    )
    mip = jax.eval_shape(MipNeRFField(**PAPER, position_degree=16).init, KEY, *CALLS['mipnerf'][1](LOOKS[0]))
    assert count(nerf) == 595_844  # twice this is the 1 191 K of mip-NeRF's table 1
    assert count(mip) == 612_740  # its 612 K


@pytest.mark.parametrize('name', CALLS)
@pytest.mark.parametrize('use_viewdirs', [True, False])
def test_colour_depends_on_the_view_direction_only_if_it_may(name, use_viewdirs):
    make, args = CALLS[name]
    field = make(use_viewdirs=use_viewdirs)
    shapes = jax.eval_shape(field.init, KEY, *args(LOOKS[0]))
    rng = np.random.default_rng(0)
    params = jax.tree.map(lambda leaf: jnp.asarray(rng.uniform(-0.5, 0.7, leaf.shape), jnp.float32), shapes)
    apply = jax.jit(field.apply)
    one, other = (apply(params, *args(viewdir)) for viewdir in LOOKS)
    assert float(one[0]) == float(other[0]), 'density must never depend on the view direction'
    assert (float(jnp.abs(one[1] - other[1]).max()) > 1e-6) == use_viewdirs
    assert ('view' in params['params']['head']) == use_viewdirs


def test_mipnerf_at_raw_zero():
    args = CALLS['mipnerf'][1](LOOKS[0])
    density, rgb, _ = mipnerf_field().apply(zeroed(mipnerf_field(), *args), *args)
    np.testing.assert_allclose(density, np.log1p(np.exp(-1)), rtol=1e-6)
    np.testing.assert_allclose(rgb, 0.5, rtol=1e-6)


@pytest.mark.parametrize(('raw', 'reached'), [(-100.0, -0.001), (100.0, 1.001)])
def test_mipnerf_colours_reach_beyond_black_and_white(raw, reached):
    field, args = mipnerf_field(), CALLS['mipnerf'][1](LOOKS[0])
    _, rgb, _ = field.apply(with_output(zeroed(field, *args), 'rgb', raw), *args)
    np.testing.assert_allclose(rgb, reached, atol=1e-6)


@pytest.mark.parametrize(('raw', 'density'), [(-100.0, 0.0), (1.0, np.log(2)), (100.0, 99.0)])
def test_mipnerf_density_and_its_gradient_far_out(raw, density):
    field, args = mipnerf_field(), CALLS['mipnerf'][1](LOOKS[0])
    zero = zeroed(field, *args)
    found, slope = jax.value_and_grad(lambda x: field.apply(with_output(zero, 'raw_density', x), *args)[0])(raw)
    np.testing.assert_allclose(found, density, rtol=1e-6, atol=1e-6)
    np.testing.assert_allclose(slope, 1 / (1 + np.exp(1 - raw)), rtol=1e-5, atol=1e-12)


@pytest.mark.parametrize(
    ('activation', 'noise', 'density'),
    [('relu', 2.0, 2.0), ('relu', -2.0, 0.0), ('softplus', 0.0, np.log(2)), ('softplus', -2.0, np.log1p(np.exp(-2)))],
)
def test_nerf_noise_is_added_before_the_activation(activation, noise, density):
    field = nerf_field(density_activation=activation)
    args = (POINT, LOOKS[0], jnp.float32(noise))
    found, rgb, _ = field.apply(zeroed(field, *args), *args)
    np.testing.assert_allclose(found, density, rtol=1e-6)
    np.testing.assert_allclose(rgb, 0.5, rtol=1e-6)


@pytest.mark.parametrize('name', CALLS)
def test_density_alone_is_that_of_the_whole_field(name):
    make, args = CALLS[name]
    field, (sample, viewdir, noise) = make(), args(LOOKS[0])
    params = field.init(KEY, sample, viewdir, noise)
    assert float(field.apply(params, sample, method='density')) == float(field.apply(params, sample, viewdir)[0])


def test_softplus_density_does_not_die():
    def slope(activation):
        field, args = nerf_field(density_activation=activation), CALLS['nerf'][1](LOOKS[0])
        zero = zeroed(field, *args)
        return float(jax.grad(lambda x: field.apply(with_output(zero, 'raw_density', x), *args)[0])(-10.0))

    assert slope('relu') == 0
    np.testing.assert_allclose(slope('softplus'), 1 / (1 + np.exp(10)), rtol=1e-4)


def test_fields_see_the_encodings_of_the_papers():
    # One layer that is the identity on the encoding's first numbers and a colour that passes them on.
    field, args = mipnerf_field(use_viewdirs=False, depth=1, width=3), CALLS['mipnerf'][1](LOOKS[0])
    params = zeroed(field, *args)['params']
    params['trunk']['layer_0'] = {'kernel': jnp.eye(18, 3), 'bias': jnp.full(3, 2.0)}
    params['head']['rgb'] = {'kernel': jnp.eye(3), 'bias': jnp.full(3, -2.0)}
    _, rgb, _ = field.apply({'params': params}, *args)
    expected = nn.sigmoid(encodings.integrated(GAUSSIAN, 0, 3)[:3]) * 1.002 - 0.001
    np.testing.assert_allclose(rgb, expected, rtol=1e-5)
