import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.errors import UserError
from nerf.fields.mipnerf import MipNeRFField
from nerf.models import MODELS, make_model
from nerf.models.mipnerf import MipNeRF
from nerf.ray import histogram, sampling
from nerf.ray.contraction import contract
from nerf.ray.gaussians import cylinder_to_gaussian, frustum_to_gaussian, push_forward
from nerf.ray.structs import Gaussian, Ray

KEY = jax.random.key(1)
TINY = {'num_samples': 8, 'depth': 2, 'width': 8, 'view_width': 4, 'position_degree': 4, 'view_degree': 2}
CYLINDER = {'ray_shape': 'cylinder', 'spacing': 'disparity'}


@functools.cache
def tiny(**options):
    """A model, its parameters for the one shape a ray has, and the compiled call."""
    model = MipNeRF(**{**TINY, **options})
    direction = jnp.array([0.0, 0.0, -1.0])
    ray = Ray(jnp.zeros(3), direction, direction, jnp.float32(0.01), jnp.float32(2.0), jnp.float32(6.0))
    return model, jax.jit(model.init)(jax.random.key(0), ray), jax.jit(model.apply)


def test_levels_have_fenceposts_from_near_to_far(ray):
    _, params, apply = tiny()
    coarse, fine = apply(params, ray)
    np.testing.assert_allclose(coarse.t, np.linspace(2, 6, 9), rtol=1e-6)
    np.testing.assert_allclose([fine.t[0], fine.t[-1]], [2, 6], rtol=1e-5)
    assert fine.t.shape == (9,)
    assert (np.diff(fine.t) > 0).all()


@pytest.mark.parametrize('key', [None, KEY])
def test_the_fine_level_is_drawn_from_the_blurred_coarse_weights(ray, key):
    _, params, apply = tiny()
    coarse, fine = apply(params, ray, key)
    fine_key = None if key is None else jax.random.split(key, 2)[1]
    drawn = sampling.sample(fine_key, coarse.s, histogram.blur_and_pad(coarse.weights, 0.01), 9)
    np.testing.assert_allclose(fine.s, drawn, atol=1e-5)


@pytest.mark.parametrize(
    ('options', 'shape'),
    [({}, frustum_to_gaussian), (CYLINDER, cylinder_to_gaussian), ({'integrate': False}, None)],
)
def test_both_levels_are_one_field_of_segments(ray, options, shape):
    ray = ray.replace(radius=jnp.array(0.1))
    model, params, apply = tiny(**options)
    assert set(params['params']) == {'coarse'}
    field = jax.jit(MipNeRFField(2, 8, 4, True, 4, 2, model.integrate).apply)
    for level in apply(params, ray):
        for i in (0, 5):
            segment = (shape or frustum_to_gaussian)(level.t[i], level.t[i + 1], ray.origin, ray.direction, ray.radius)
            segment = segment if shape else segment.replace(cov=jnp.zeros((3, 3)))
            density, rgb, _ = field({'params': params['params']['coarse']}, segment, ray.viewdir, jnp.float32(0.0))
            np.testing.assert_allclose(level.density[i], density, rtol=1e-4)
            np.testing.assert_allclose(level.rgb[i], rgb, rtol=1e-4)


@pytest.mark.parametrize('scale', [1.0, 2.0])
def test_a_field_of_constant_density(ray, scale):
    # All parameters zero: density is softplus(-1) everywhere, and colour 1/2.
    ray = ray.replace(direction=scale * ray.direction, near=ray.near / scale, far=ray.far / scale)
    _, params, apply = tiny()
    for level in apply(jax.tree.map(jnp.zeros_like, params), ray):
        expected = -np.expm1(-np.log1p(np.exp(-1)) * 4 * np.sqrt(1.13))
        np.testing.assert_allclose(jnp.sum(level.weights), expected, rtol=1e-5)
        np.testing.assert_allclose(level.rgb, 0.5, rtol=1e-6)


def test_a_constant_field_is_resampled_towards_the_eye(ray):
    _, params, apply = tiny()
    _, fine = apply(jax.tree.map(jnp.zeros_like, params), ray)
    lengths = np.diff(fine.t)
    assert (np.diff(lengths) >= -1e-5).all()
    assert lengths[-1] > 1.5 * lengths[0]


def test_the_radius_matters_for_cones_and_cylinders_but_not_without_integration(ray):
    for options, matters in (({}, True), (CYLINDER, True), ({'integrate': False}, False)):
        _, params, apply = tiny(**options)
        thin, wide = (apply(params, ray.replace(radius=jnp.array(radius)))[0].rgb for radius in (1e-3, 0.3))
        assert (float(jnp.abs(thin - wide).max()) > 1e-4) == matters


def test_spacing_is_that_of_the_first_level(ray):
    _, params, apply = tiny(**CYLINDER)
    coarse, _ = apply(params, ray)
    np.testing.assert_allclose(1 / np.asarray(coarse.t), np.linspace(1 / 2, 1 / 6, 9), rtol=1e-5)


def test_the_fine_loss_reaches_the_field_but_not_through_the_samples(ray):
    model, params, _ = tiny()

    def position(params):
        return jnp.sum(model.apply(params, ray)[1].s ** 2)

    assert all(float(jnp.abs(leaf).max()) == 0 for leaf in jax.tree.leaves(jax.jit(jax.grad(position))(params)))


def test_make_model_takes_a_models_own_fields():
    model = make_model('mipnerf', {'num_samples': 3})
    assert isinstance(model, MipNeRF)
    assert model.num_samples == 3


def test_make_model_names_what_it_knows():
    with pytest.raises(UserError, match=r"unknown model_name 'nerv': expected one of .*mipnerf.*nerf"):
        make_model('nerv', {})
    with pytest.raises(UserError, match=r"unknown config.model entry for mipnerf 'num_coarse': expected one of .*num_samples"):
        make_model('mipnerf', {'num_coarse': 3})
    assert set(MODELS) >= {'nerf', 'mipnerf'}


def test_contracted_segments_are_what_the_field_sees(ray):
    model, params, apply = tiny(contract=True, spacing='disparity')
    far = ray.replace(near=jnp.float32(0.2), far=jnp.float32(1e6), radius=jnp.array(0.1))
    field = jax.jit(MipNeRFField(2, 8, 4, True, 4, 2, model.integrate).apply)
    own = {'params': params['params']['coarse']}
    for level in apply(params, far):
        for i in (0, 5):
            segment = frustum_to_gaussian(level.t[i], level.t[i + 1], far.origin, far.direction, far.radius)
            np.testing.assert_allclose(
                level.density[i], field(own, push_forward(contract, segment), far.viewdir, 0.0)[0], rtol=1e-3
            )
    cube = Gaussian(mean=jnp.array([3.0, -20.0, 1.0]), cov=0.12 * jnp.eye(3))
    expected = field(own, push_forward(contract, cube), jnp.zeros(3), 0.0)[0]
    np.testing.assert_allclose(model.apply(params, cube.mean, jnp.float32(1.2), method='density'), expected, rtol=1e-4)


def test_density_noise_comes_with_a_key_only(ray):
    # Nothing is learned by zeros, so that all of the density is softplus of the noise less one.
    _, params, apply = tiny(density_noise=0.5)
    nothing = jax.tree.map(jnp.zeros_like, params)
    for level in apply(nothing, ray):
        np.testing.assert_allclose(level.density, np.log1p(np.exp(-1)), rtol=1e-6)
    for level, key in zip(apply(nothing, ray, KEY), jax.random.split(KEY, 4)[2:], strict=True):
        noise = np.log(np.expm1(np.asarray(level.density, np.float64))) + 1
        np.testing.assert_allclose(noise, 0.5 * jax.random.normal(key, noise.shape), atol=1e-5)
