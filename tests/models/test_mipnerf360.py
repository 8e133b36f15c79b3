import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.fields.mipnerf360 import MipNeRF360Field, ProposalMLP
from nerf.models.mipnerf360 import MipNeRF360
from nerf.ray import compositing, histogram, losses, sampling
from nerf.ray.contraction import contract
from nerf.ray.gaussians import frustum_to_gaussian, push_forward
from nerf.ray.spacing import s_to_t
from nerf.ray.structs import Gaussian, Ray, RenderedPixel

KEY = jax.random.key(1)
TINY = {
    **{'num_proposal': 12, 'num_samples': 8, 'proposal_depth': 1, 'proposal_width': 8, 'depth': 2, 'width': 8},
    **{'bottleneck': 4, 'view_width': 4, 'position_degree': 3, 'view_degree': 1},
}
BOUNDED = {'contract': False, 'opaque_background': False, 'spacing': 'linear'}


@functools.cache
def tiny(**options):
    """A model, parameters that see something different everywhere, and the compiled call."""
    model = MipNeRF360(**{**TINY, **options})
    direction = jnp.array([0.0, 0.0, -1.0])
    ray = Ray(jnp.zeros(3), direction, direction, jnp.float32(0.01), jnp.float32(2.0), jnp.float32(6.0))
    rng = np.random.default_rng(0)
    shapes = jax.eval_shape(model.init, jax.random.key(0), ray)
    params = jax.tree.map(lambda leaf: jnp.asarray(0.5 * rng.normal(size=leaf.shape), jnp.float32), shapes)
    jitted = jax.jit(model.apply)
    return model, params, lambda params, ray, key=None, progress=1.0: jitted(params, ray, key, jnp.float32(progress))


@pytest.fixture
def endless(ray):
    """A ray from inside of the unit ball to very far."""
    return ray.replace(origin=jnp.array([0.1, 0.2, 0.3]), near=jnp.float32(0.2), far=jnp.float32(1e6))


@pytest.mark.parametrize('key', [None, KEY])
def test_two_proposals_and_then_the_level_that_is_seen(endless, key):
    _, params, apply = tiny()
    levels = apply(params, endless, key)
    assert [level.s.shape for level in levels] == [(13,), (13,), (9,)]
    for level in levels:
        assert (np.diff(level.s) > 0).all()
        assert level.t[0] >= endless.near
        assert level.t[-1] <= endless.far
        assert float(jnp.std(level.weights)) > 0.01
    for proposal in levels[:2]:
        np.testing.assert_array_equal(proposal.rgb, 0)


def test_the_first_intervals_are_even_in_disparity(endless):
    _, params, apply = tiny()
    np.testing.assert_allclose(1 / np.asarray(apply(params, endless)[0].t), np.linspace(5, 1e-6, 13), rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize('progress', [0.0, 0.2, 1.0])
@pytest.mark.parametrize(('options', 'key'), [({}, None), ({}, KEY), (BOUNDED, None)])
def test_samples_follow_the_dilated_and_annealed_proposals(endless, ray, options, key, progress):
    _, params, apply = tiny(**options)
    levels = apply(params, ray if options else endless, key, progress)
    keys = [None] * 3 if key is None else jax.random.split(key, 3)
    first = sampling.sample_intervals(keys[0], jnp.array([0.0, 1.0]), jnp.ones(1), 12)
    np.testing.assert_allclose(levels[0].s, first, atol=1e-5)
    # The mean length of an interval is 1/12 at first, and 1/12 of the remaining 1/12 after that.
    for i, length, num in ((0, 1 / 12, 12), (1, 1 / 144, 8)):
        s, weights = histogram.dilate(levels[i].s, levels[i].weights, 0.0025 + 0.5 * length)
        drawn = sampling.sample_intervals(keys[i + 1], s, histogram.anneal(weights, progress, 10.0), num)
        np.testing.assert_allclose(levels[i + 1].s, drawn, atol=2e-5)


def test_progress_moves_samples_towards_what_the_proposals_saw(endless):
    _, params, apply = tiny()
    begun, done = apply(params, endless, None, 0.0), apply(params, endless, None, 1.0)
    np.testing.assert_array_equal(begun[0].s, done[0].s)
    assert float(jnp.abs(begun[1].s - done[1].s).max()) > 0.02


@pytest.mark.parametrize('options', [{}, BOUNDED])
def test_each_level_is_its_network_at_its_segments(endless, ray, options):
    ray = (ray if options else endless).replace(radius=jnp.array(0.05))
    _, params, apply = tiny(**options)
    proposal = jax.jit(ProposalMLP(1, 8, 3).apply)
    field = jax.jit(MipNeRF360Field(2, 8, 4, 4, 3, 1).apply)
    levels = apply(params, ray)
    for number, level in enumerate(levels):
        np.testing.assert_allclose(level.t, s_to_t(level.s, ray.near, ray.far, options.get('spacing', 'disparity')), rtol=1e-6)
        for i in (0, 5, 7):
            segment = frustum_to_gaussian(level.t[i], level.t[i + 1], ray.origin, ray.direction, ray.radius)
            segment = segment if options else push_forward(contract, segment)
            if number < 2:
                density, rgb = proposal({'params': params['params']['proposal']}, segment), jnp.zeros(3)
            else:
                density, rgb, _ = field({'params': params['params']['field']}, segment, ray.viewdir)
            np.testing.assert_allclose(level.density[i], density, rtol=1e-3)
            np.testing.assert_allclose(level.rgb[i], rgb, rtol=1e-3)
        delta = compositing.lengths(level.t, ray.direction)
        weights = compositing.weights(level.density, delta, opaque_background=not options)
        np.testing.assert_allclose(level.weights, weights, rtol=1e-4, atol=1e-6)


def test_both_proposals_are_one_network():
    _, params, _ = tiny()
    assert set(params['params']) == {'proposal', 'field'}
    assert set(params['params']['proposal']) == {'trunk', 'raw_density'}


def test_an_opaque_background_stops_every_ray(endless, ray):
    _, params, apply = tiny()
    for level in apply(params, endless):
        np.testing.assert_allclose(jnp.sum(level.weights), 1, rtol=1e-5)
    # Without, a field of zeros has density softplus(-1), and lets something through.
    _, params, apply = tiny(**BOUNDED)
    levels = apply(jax.tree.map(jnp.zeros_like, params), ray)
    for level in levels:
        np.testing.assert_allclose(level.density, np.log1p(np.exp(-1)), rtol=1e-6)
        length = np.sqrt(1.13) * float(level.t[-1] - level.t[0])
        np.testing.assert_allclose(jnp.sum(level.weights), -np.expm1(-np.log1p(np.exp(-1)) * length), rtol=1e-5)
    np.testing.assert_allclose(levels[0].t, np.linspace(2, 6, 13), rtol=1e-6)
    np.testing.assert_allclose(levels[2].rgb, 0.5, rtol=1e-6)


def test_interlevel_teaches_both_rounds_of_the_proposal_and_the_other_losses_the_field(endless):
    model, params, _ = tiny()

    def each(params):
        levels = model.apply(params, endless, KEY, 0.5)
        renderings = [compositing.composite(level, endless, jnp.ones(3)) for level in levels]
        names = ('interlevel', 'charbonnier', 'distortion')
        pixel = RenderedPixel(endless, levels, renderings, jnp.zeros(3), 0.0)
        values = [losses.LOSSES[name](pixel) for name in names]
        return jnp.stack([*values, *(losses.interlevel(pixel.replace(levels=[each, levels[-1]])) for each in levels[:2])])

    found = jax.jit(jax.jacrev(each))(params)['params']
    proposal, field = (
        [max(float(jnp.abs(leaf[i]).max()) for leaf in jax.tree.leaves(found[part])) for i in range(5)]
        for part in ('proposal', 'field')
    )
    assert proposal[1:3] == [0, 0]
    assert min(proposal[0], *proposal[3:]) > 1e-4
    assert field[0] == 0
    assert min(field[1:3]) > 1e-4


@pytest.mark.parametrize('options', [{}, BOUNDED])
def test_density_is_the_fields_over_a_cube(options):
    model, params, _ = tiny(**options)
    field = MipNeRF360Field(2, 8, 4, 4, 3, 1)
    point, width = jnp.array([1.0, -2.0, 0.5]), jnp.float32(0.6)
    cube = Gaussian(mean=point, cov=0.03 * jnp.eye(3))
    cube = cube if options else push_forward(contract, cube)
    expected = field.apply({'params': params['params']['field']}, cube, jnp.array([0.0, 0.6, 0.8]))[0]
    found = model.apply(params, point, width, method='density')
    np.testing.assert_allclose(found, expected, rtol=1e-5)
    assert abs(float(model.apply(params, point, 10 * width, method='density')) - float(found)) > 1e-4


def test_the_papers_size():
    model = MipNeRF360()
    direction = jnp.array([0.0, 0.0, -1.0])
    ray = Ray(jnp.zeros(3), direction, direction, jnp.float32(0.01), jnp.float32(2.0), jnp.float32(6.0))
    shapes = jax.eval_shape(model.init, jax.random.key(0), ray)
    assert sum(leaf.size for leaf in jax.tree.leaves(shapes)) == 8_680_580 + 326_913
