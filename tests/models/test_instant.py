import functools

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from nerf.fields.hashgrid import HashField
from nerf.lifting import over_rays
from nerf.models import make_model
from nerf.models.instant import Instant, box_to_unit_cube, contract_to_unit_cube
from nerf.ray import compositing, losses, sampling
from nerf.ray.hashgrid import Grid
from nerf.ray.structs import Ray, RenderedPixel

KEY = jax.random.key(1)
TINY = {
    **{'num_proposal': 12, 'num_samples': 8, 'width': 8, 'view_degree': 2},
    **{'num_levels': 2, 'finest': 20, 'log2_rows': 12},
}


@functools.cache
def tiny(**options):
    """A model, its parameters for the one shape a ray has, and the compiled call."""
    model = Instant(**{**TINY, **options})
    direction = jnp.array([0.0, 0.0, -1.0])
    ray = Ray(jnp.zeros(3), direction, direction, jnp.float32(0.01), jnp.float32(2.0), jnp.float32(6.0))
    return model, jax.jit(model.init)(jax.random.key(0), ray), jax.jit(model.apply)


def random_params(params, seed=0):
    rng = np.random.default_rng(seed)
    return jax.tree.map(lambda leaf: jnp.asarray(rng.normal(size=leaf.shape), jnp.float32), params)


def test_warp_maps_the_box_to_the_unit_cube():
    corner = jnp.array([1.5, -1.5, 0.0])
    np.testing.assert_allclose(box_to_unit_cube(corner, 1.5), [1, 0, 0.5])
    np.testing.assert_allclose(box_to_unit_cube(corner, 3.0), [0.75, 0.25, 0.5])


def test_all_of_space_lies_in_the_unit_cube():
    np.testing.assert_allclose(contract_to_unit_cube(jnp.zeros(3)), 0.5)
    np.testing.assert_allclose(contract_to_unit_cube(jnp.array([0.0, 1.0, 0.0])), [0.5, 0.75, 0.5])
    np.testing.assert_allclose(contract_to_unit_cube(jnp.array([-1e7, 0.0, 0.0])), [0, 0.5, 0.5], atol=1e-6)


def test_contracted_points_are_what_the_grids_see(ray):
    model, params, apply = tiny(contract=True, opaque_background=True, spacing='disparity')
    params = random_params(params)
    far = ray.replace(near=jnp.float32(0.2), far=jnp.float32(1e6))
    proposal, seen = apply(params, far)
    field = jax.jit(HashField(Grid(2, 16, 20, 12), 2, 8, 2, 2).apply)
    density = jax.jit(functools.partial(model.apply, method='density'))
    for i in (0, 3, 6, 7):
        middle = far.origin + (seen.t[i] + seen.t[i + 1]) / 2 * far.direction
        expected = field({'params': params['params']['field']}, contract_to_unit_cube(middle), far.viewdir)[0]
        np.testing.assert_allclose(seen.density[i], expected, rtol=2e-3)
        np.testing.assert_allclose(density(params, middle, jnp.float32(0.0)), expected, rtol=2e-3)
    for level in (proposal, seen):
        np.testing.assert_allclose(jnp.sum(level.weights), 1, rtol=1e-5)


def test_proposal_then_the_level_that_is_seen(ray):
    _, params, apply = tiny()
    proposal, seen = apply(params, ray)
    np.testing.assert_allclose(proposal.t, np.linspace(2, 6, 13), rtol=1e-6)
    assert seen.t.shape == (9,)
    assert proposal.rgb.shape == (12, 3)
    np.testing.assert_array_equal(proposal.rgb, 0)
    assert (np.diff(seen.t) > 0).all()


@pytest.mark.parametrize('key', [None, KEY])
def test_samples_are_drawn_from_the_padded_weights_of_the_proposal(ray, key):
    _, params, apply = tiny()
    params = random_params(params)
    proposal, seen = apply(params, ray, key)
    assert float(jnp.std(proposal.weights)) > 0.01
    own_key = None if key is None else jax.random.split(key, 2)[1]
    drawn = sampling.sample(own_key, proposal.s, proposal.weights + 0.01, 9)
    np.testing.assert_allclose(seen.s, drawn, atol=1e-5)


def test_density_at_the_start_is_one_and_colour_is_grey(ray):
    # All features and kernels zero: density is exp(0), and colour 1/2.
    _, params, apply = tiny()
    proposal, seen = apply(jax.tree.map(jnp.zeros_like, params), ray)
    np.testing.assert_allclose(proposal.density, 1, rtol=1e-6)
    np.testing.assert_allclose(seen.density, 1, rtol=1e-6)
    np.testing.assert_allclose(seen.rgb, 0.5, rtol=1e-6)
    np.testing.assert_allclose(jnp.sum(proposal.weights), -np.expm1(-4 * np.sqrt(1.13)), rtol=1e-5)


def test_bound_scales_the_scene(ray):
    # Twice the box around a scene twice as large is the same, but for the unit of density.
    _, params, apply = tiny()
    _, _, apply_twice = tiny(bound=3.0)
    params = random_params(params)
    large = ray.replace(origin=2 * ray.origin, near=2 * ray.near, far=2 * ray.far)
    once, twice = apply(params, ray)[0], apply_twice(params, large)[0]
    np.testing.assert_allclose(once.density, twice.density, rtol=1e-3)
    np.testing.assert_allclose(2 * once.t, twice.t, rtol=1e-6)


def test_interlevel_moves_the_proposal_and_mse_the_field(ray):
    model, params, _ = tiny()
    params = jax.tree.map(lambda leaf: leaf / 2, random_params(params, seed=1))  # nothing saturated

    def both(params):
        levels = model.apply(params, ray, KEY)
        renderings = [compositing.composite(level, ray, jnp.ones(3)) for level in levels]
        return jnp.stack(
            [losses.LOSSES[name](RenderedPixel(ray, levels, renderings, jnp.zeros(3), 0.0)) for name in ('interlevel', 'mse')]
        )

    found = jax.jit(jax.jacrev(both))(params)['params']
    proposal, field = (
        [max(float(jnp.abs(leaf[i]).max()) for leaf in jax.tree.leaves(found[part])) for i in (0, 1)]
        for part in ('proposal', 'field')
    )
    assert proposal[0] > 1e-3
    assert proposal[1] == 0
    assert field[0] == 0
    assert field[1] > 1e-3


def test_colour_depends_on_the_view_direction_and_density_does_not(ray):
    _, params, apply = tiny()
    params = random_params(params)
    one, other = (apply(params, ray.replace(viewdir=d))[1] for d in (ray.viewdir, jnp.array([0.6, 0.0, 0.8])))
    np.testing.assert_array_equal(one.density, other.density)
    assert float(jnp.abs(one.rgb - other.rgb).max()) > 1e-2


def test_tables_are_of_the_size_their_grids_need():
    model = Instant(num_levels=2, finest=40, log2_rows=13, num_features=4)
    direction = jnp.array([0.0, 0.0, -1.0])
    ray = Ray(jnp.zeros(3), direction, direction, jnp.float32(0.01), jnp.float32(2.0), jnp.float32(6.0))
    shapes = jax.eval_shape(model.init, jax.random.key(0), ray)['params']
    assert shapes['field']['table'].shape == (17**3 + 2**13, 4)
    assert shapes['proposal']['table'].shape == (17**3 + 65**3, 1)


def test_it_learns_a_ball(ray):
    """From nothing to a red ball in front of white, in a few steps of one ray's own loss, lifted."""
    model = make_model('instant', {**TINY, 'bound': 1.0})
    rng = np.random.default_rng(0)
    origins = rng.normal(size=(128, 3))
    origins *= 4 / np.linalg.norm(origins, axis=1, keepdims=True)
    aims = rng.uniform(-0.9, 0.9, (128, 3))
    directions = (aims - origins) / np.linalg.norm(aims - origins, axis=1, keepdims=True)
    closest = np.linalg.norm(np.cross(origins, directions), axis=1)
    target = np.where((closest < 0.6)[:, None], [1.0, 0.0, 0.0], 1.0)
    full = np.full(128, 1.0)
    rays = Ray(*(jnp.asarray(x, jnp.float32) for x in (origins, directions, directions, 0.01 * full, 2 * full, 6 * full)))

    def loss_of_ray(params, ray, key, target):
        levels = model.apply(params, ray, key)
        renderings = [compositing.composite(level, ray, jnp.ones(3)) for level in levels]
        pixel = RenderedPixel(ray, levels, renderings, target, 0.0)
        return losses.mse(pixel), losses.interlevel(pixel)

    def loss(params, keys):
        mse, interlevel = over_rays(loss_of_ray, (None, 0, 0, 0))(params, rays, keys, jnp.asarray(target, jnp.float32))
        return jnp.mean(mse) + jnp.mean(interlevel), jnp.mean(mse)

    optimizer = optax.adam(3e-2, eps=1e-15)

    @jax.jit
    def step(params, state, key):
        gradient, mse = jax.grad(loss, has_aux=True)(params, jax.random.split(key, 128))
        updates, state = optimizer.update(gradient, state)
        return optax.apply_updates(params, updates), state, mse

    params = tiny()[1]
    state, errors = optimizer.init(params), []
    for i in range(100):
        params, state, mse = step(params, state, jax.random.key(i))
        errors.append(float(mse))
    assert errors[-1] < 0.02 < 0.2 < errors[0]
