import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.fields.nerf import NeRFField
from nerf.models.nerf import NeRF
from nerf.ray import compositing, sampling
from nerf.ray.contraction import contract
from nerf.ray.spacing import s_to_t
from nerf.ray.structs import Ray

KEY = jax.random.key(1)
TINY = {
    'density_noise': 1.0,
    'num_coarse': 8,
    'num_fine': 6,
    'depth': 2,
    'width': 8,
    'view_width': 4,
    'position_degree': 3,
    'view_degree': 2,
}


@functools.cache
def tiny(**options):
    """A model, its parameters for the one shape a ray has, and the compiled call."""
    model = NeRF(**{**TINY, 'density_activation': 'softplus', **options})
    direction = jnp.array([0.0, 0.0, -1.0])
    ray = Ray(jnp.zeros(3), direction, direction, jnp.float32(0.01), jnp.float32(2.0), jnp.float32(6.0))
    return model, jax.jit(model.init)(jax.random.key(0), ray), jax.jit(model.apply)


def test_coarse_points_are_even_and_fine_ones_join_them_in_order(ray):
    _, params, apply = tiny()
    coarse, fine = apply(params, ray)
    np.testing.assert_allclose(coarse.t, [*np.linspace(2, 6, 8), 6], rtol=1e-6)
    assert fine.t.shape == (15,)
    assert (np.diff(fine.t) >= 0).all()
    assert np.isin(np.asarray(coarse.s), np.asarray(fine.s)).all()


@pytest.mark.parametrize('key', [None, KEY])
def test_fine_points_are_drawn_from_the_weights_between_the_coarse_ones(ray, key):
    _, params, apply = tiny()
    coarse, fine = apply(params, ray, key)
    starts = coarse.s[:-1]
    middles = (starts[1:] + starts[:-1]) / 2
    fine_key = None if key is None else jax.random.split(key, 4)[1]
    drawn = sampling.sample(fine_key, middles, coarse.weights[1:-1] + 1e-5, 6)
    np.testing.assert_allclose(fine.s, [*np.sort(np.concatenate([starts, drawn])), 1], atol=1e-5)


def test_each_level_is_its_own_field_at_its_points(ray):
    _, params, apply = tiny()
    field = jax.jit(NeRFField(2, 8, 4, True, 3, 2, 'softplus').apply)
    for name, level in zip(('coarse', 'fine'), apply(params, ray), strict=True):
        own = {'params': params['params'][name]}
        for i in (0, 3, 7):
            point = ray.origin + level.t[i] * ray.direction
            density, rgb, _ = field(own, point, ray.viewdir, jnp.float32(0.0))
            np.testing.assert_allclose(level.density[i], density, rtol=1e-4)
            np.testing.assert_allclose(level.rgb[i], rgb, rtol=1e-4)
        delta = compositing.lengths(level.t, ray.direction, is_endless=True)
        np.testing.assert_allclose(level.weights, compositing.weights(level.density, delta), rtol=1e-4, atol=1e-7)


def test_the_last_point_is_opaque(ray):
    _, params, apply = tiny()
    for level in apply(params, ray):
        np.testing.assert_allclose(jnp.sum(level.weights), 1, rtol=1e-5)


def test_the_fine_loss_does_not_teach_the_coarse_network(ray):
    _, params, apply = tiny()

    def colours(params):
        return jnp.stack([jnp.sum(level.weights[:, None] * level.rgb) for level in apply(params, ray)])

    jacobian = jax.jit(jax.jacrev(colours))(params)['params']
    largest = {
        (level, network): max(float(jnp.abs(leaf[i]).max()) for leaf in jax.tree.leaves(jacobian[network]))
        for i, level in enumerate(('coarse', 'fine'))
        for network in ('coarse', 'fine')
    }
    assert largest['fine', 'coarse'] == 0
    assert largest['coarse', 'fine'] == 0
    assert largest['coarse', 'coarse'] > 1e-4
    assert largest['fine', 'fine'] > 1e-4


def test_density_noise_comes_with_a_key_only(ray):
    # Nothing is learned by zeros, so that all of the density is softplus of the noise.
    _, params, apply = tiny()
    nothing = jax.tree.map(jnp.zeros_like, params)
    for level in apply(nothing, ray):
        np.testing.assert_allclose(level.density, np.log(2), rtol=1e-6)
    for level, key in zip(apply(nothing, ray, KEY), jax.random.split(KEY, 4)[2:], strict=True):
        noise = np.log(np.expm1(np.asarray(level.density, np.float64)))
        np.testing.assert_allclose(noise, jax.random.normal(key, noise.shape), atol=1e-5)


def test_spacing_is_that_of_the_coarse_points(ray):
    _, params, apply = tiny(spacing='disparity')
    coarse, fine = apply(params, ray)
    np.testing.assert_allclose(1 / np.asarray(coarse.t), [*np.linspace(1 / 2, 1 / 6, 8), 1 / 6], rtol=1e-5)
    np.testing.assert_allclose(fine.t, s_to_t(fine.s, 2.0, 6.0, 'disparity'), rtol=1e-6)


def test_contracted_points_are_what_the_fields_see(ray):
    model, params, apply = tiny(contract=True, spacing='disparity')
    far = ray.replace(near=jnp.float32(0.2), far=jnp.float32(1e6))
    field = jax.jit(NeRFField(2, 8, 4, True, 3, 2, 'softplus').apply)
    for name, level in zip(('coarse', 'fine'), apply(params, far), strict=True):
        own = {'params': params['params'][name]}
        for i in (0, 5, 7):
            point = contract(far.origin + level.t[i] * far.direction)
            np.testing.assert_allclose(level.density[i], field(own, point, far.viewdir, jnp.float32(0.0))[0], rtol=1e-3)
    point = jnp.array([3.0, -20.0, 1.0])
    expected = field({'params': params['params']['fine']}, contract(point), jnp.zeros(3), jnp.float32(0.0))[0]
    np.testing.assert_allclose(model.apply(params, point, jnp.float32(0.1), method='density'), expected, rtol=1e-5)
