import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.ray import compositing
from nerf.ray.structs import Level

JACOBIAN = jax.jit(jax.jacrev(compositing.weights))
COMPOSITE = jax.jit(compositing.composite)
BLACK, GREY = jnp.zeros(3), jnp.full(3, 0.5)
COLOURS = jnp.array([[1.0, 0.0, 0.0], [0.0, 1.0, 0.0], [0.0, 0.0, 1.0], [1.0, 1.0, 0.0]])
T = jnp.array([2.0, 2.5, 3.5, 5.0, 6.0])


def level(density, direction, t=T, rgb=COLOURS, **options):
    density = jnp.asarray(density, jnp.float32)
    delta = compositing.lengths(t, direction, is_endless='sample_at' in options)
    return Level(s=t, t=t, density=density, rgb=rgb, weights=compositing.weights(density, delta), **options)


def test_lengths_are_in_world_units():
    direction = jnp.array([0.0, 3.0, -4.0])
    np.testing.assert_allclose(compositing.lengths(T, direction), [2.5, 5, 7.5, 5], rtol=1e-6)
    np.testing.assert_allclose(compositing.lengths(T, direction, is_endless=True), [2.5, 5, 7.5, 5e10], rtol=1e-6)


def test_weights_against_the_loop_over_intervals():
    rng = np.random.default_rng(0)
    density, delta = rng.uniform(0, 4, 12), rng.uniform(0, 0.5, 12)
    arrives, expected, arrival = 1.0, [], []
    for sigma, length in zip(density, delta, strict=True):
        stops = 1 - np.exp(-sigma * length)
        arrival.append(arrives)
        expected.append(arrives * stops)
        arrives *= 1 - stops
    np.testing.assert_allclose(compositing.transmittance(jnp.array(density), jnp.array(delta)), arrival, rtol=1e-5)
    np.testing.assert_allclose(compositing.weights(jnp.array(density), jnp.array(delta)), expected, rtol=1e-5)


def test_weights_against_photons():
    # Free paths in a medium of piecewise constant density, by inverting the optical depth.
    density, delta = np.array([0.5, 0.0, 3.0, 1.0]), np.array([0.4, 1.0, 0.2, 0.5])
    depth = np.concatenate([[0], np.cumsum(density * delta)])
    free = np.random.default_rng(0).exponential(size=200_000)
    share = np.histogram(free, np.concatenate([depth[:1], depth[1:]]))[0] / free.size
    np.testing.assert_allclose(compositing.weights(jnp.array(density), jnp.array(delta)), share, atol=0.005)


@pytest.mark.parametrize('sigma', [0.0, 1e-6, 0.3, 2.0, 50.0])
@pytest.mark.parametrize('bins', [1, 7, 64])
def test_constant_density_however_it_is_cut(sigma, bins):
    delta = np.random.default_rng(bins).dirichlet(np.ones(bins)) * 1.7
    found = compositing.weights(jnp.full(bins, sigma), jnp.asarray(delta, jnp.float32))
    np.testing.assert_allclose(jnp.sum(found), -np.expm1(-sigma * 1.7), rtol=1e-5)


def test_weights_sum_to_one_where_opaque_and_never_to_more():
    assert float(jnp.sum(compositing.weights(jnp.array([0.3, 1e6, 2.0, 1e6]), jnp.ones(4)))) == pytest.approx(1, abs=1e-6)
    rng = np.random.default_rng(0)
    density = jnp.asarray(10 ** rng.uniform(-6, 6, (500, 32)), jnp.float32)
    found = jax.jit(jax.vmap(compositing.weights, (0, None)))(density, jnp.full(32, 0.1))
    assert (found >= 0).all()
    assert float(jnp.sum(found, axis=1).max()) <= 1 + 1e-6


def test_nothing_gets_past_the_last_point_of_nerf(ray):
    found = level([0.0, 0.0, 0.0, 1e-3], ray.direction, sample_at=0.0)
    np.testing.assert_allclose(found.weights, [0, 0, 0, 1], atol=1e-6)


@pytest.mark.parametrize('opacity', [0.0, 1.0, 1e4, 1e6])
def test_gradients_are_finite_from_empty_to_opaque(opacity):
    for density in (jnp.full(8, opacity), opacity * jnp.eye(8)[3]):
        assert np.isfinite(JACOBIAN(density, jnp.ones(8))).all()
    slope = jnp.sum(JACOBIAN(jnp.full(8, opacity), jnp.ones(8)))
    np.testing.assert_allclose(slope, 8 * np.exp(-8 * opacity), rtol=1e-4, atol=1e-6)


def test_colour_is_the_weighted_sum_over_the_background(ray):
    found = level([0.2, 0.0, 0.7, 0.1], ray.direction)
    result = COMPOSITE(found, ray, GREY)
    w = np.asarray(found.weights, np.float64)
    np.testing.assert_allclose(result.rgb, w @ np.asarray(COLOURS) + (1 - w.sum()) * 0.5, rtol=1e-5)
    np.testing.assert_allclose(result.acc, w.sum(), rtol=1e-6)
    middles = np.array([2.25, 3.0, 4.25, 5.5])
    np.testing.assert_allclose(result.distance, np.sqrt(1.13) * (w @ middles) / w.sum(), rtol=1e-5)


def test_median_distance_of_a_constant_medium(ray):
    t = jnp.linspace(2.0, 6.0, 401)
    result = COMPOSITE(level(jnp.full(400, 1.5), ray.direction, t, jnp.zeros((400, 3))), ray, BLACK)
    np.testing.assert_allclose(result.distance_median, 2 * np.sqrt(1.13) + np.log(2) / 1.5, rtol=1e-3)


def test_an_empty_ray_shows_the_background_and_reports_far(ray):
    for options in ({}, {'sample_at': 0.0}):
        result = COMPOSITE(level(jnp.zeros(4), ray.direction, **options), ray, GREY)
        np.testing.assert_array_equal(result.rgb, GREY)
        assert float(result.acc) == 0
        np.testing.assert_allclose([result.distance, result.distance_median], 6 * np.sqrt(1.13), rtol=1e-6)


def test_an_opaque_interval_is_where_the_ray_stops(ray):
    result = COMPOSITE(level([0.0, 0.0, 1e6, 1.0], ray.direction), ray, GREY)
    np.testing.assert_allclose(result.rgb, COLOURS[2], atol=1e-6)
    np.testing.assert_allclose([result.distance, result.distance_median], 4.25 * np.sqrt(1.13), rtol=1e-5)


def test_an_opaque_point_is_where_the_ray_stops(ray):
    result = COMPOSITE(level([0.0, 0.0, 1e6, 1.0], ray.direction, sample_at=0.0), ray, GREY)
    np.testing.assert_allclose(result.rgb, COLOURS[2], atol=1e-6)
    np.testing.assert_allclose(result.distance, 3.5 * np.sqrt(1.13), rtol=1e-5)
    assert 3.5 * np.sqrt(1.13) <= float(result.distance_median) <= 5 * np.sqrt(1.13)


def test_extras_are_composited_by_the_weights(ray):
    normals = jnp.arange(12.0).reshape(4, 3)
    found = level([0.2, 0.0, 0.7, 0.1], ray.direction, extras={'roughness': jnp.array([1.0, 2.0, 3.0, 4.0]), 'n': normals})
    result, w = COMPOSITE(found, ray, GREY), np.asarray(found.weights, np.float64)
    np.testing.assert_allclose(result.extras['roughness'], w @ [1, 2, 3, 4], rtol=1e-6)
    np.testing.assert_allclose(result.extras['n'], w @ np.asarray(normals), rtol=1e-6)


def test_samples_lie_at_their_share_of_the_interval(ray):
    found = level(jnp.zeros(4), ray.direction)
    np.testing.assert_allclose(compositing.sample_positions(found), [2.25, 3.0, 4.25, 5.5], rtol=1e-6)
    np.testing.assert_array_equal(compositing.sample_positions(found.replace(sample_at=0.0)), T[:-1])


@pytest.mark.parametrize('scale', [1.0, 0.25, 3.0])
def test_a_tilted_slab_is_as_thick_however_the_direction_is_scaled(ray, scale):
    # A slab -1.5 < z < -1 of density 2, crossed by a ray from the origin at 30 degrees.
    direction = scale * jnp.array([np.sin(np.pi / 6), 0.0, -np.cos(np.pi / 6)])
    t = jnp.array([0.1, 1 / np.cos(np.pi / 6), 1.5 / np.cos(np.pi / 6), 3.0]) / scale
    slab = level([0.0, 2.0, 0.0], direction, t, jnp.zeros((3, 3)))
    result = COMPOSITE(slab, ray.replace(direction=direction, near=t[0], far=t[-1]), BLACK)
    np.testing.assert_allclose(result.acc, 1 - np.exp(-2 * 0.5 / np.cos(np.pi / 6)), rtol=1e-5)
    np.testing.assert_allclose(result.distance, 1.25 / np.cos(np.pi / 6), rtol=1e-5)


def test_composite_has_finite_gradients(ray):
    @jax.jit
    @functools.partial(jax.grad, argnums=(0, 1))
    def gradients(density, direction):
        result = compositing.composite(level(density, direction), ray.replace(direction=direction), GREY)
        return sum(jnp.sum(leaf) for leaf in jax.tree.leaves(result))

    for opacity in (0.0, 1e-8, 1.0, 1e6):
        for direction in (ray.direction, jnp.zeros(3)):
            found = gradients(jnp.full(4, opacity), direction)
            assert all(np.isfinite(g).all() for g in found), (opacity, direction)


@pytest.mark.parametrize('density', [[0.0] * 4, [0.2, 0.0, 0.7, 0.1], [0.0, 0.0, 0.0, 1e6], [1e4, 0.0, 1e6, 0.0]])
def test_with_an_opaque_background_every_ray_stops(density):
    density, delta = jnp.array(density), jnp.array([0.5, 1.0, 1.5, 1e6])
    found, without = compositing.weights(density, delta, opaque_background=True), compositing.weights(density, delta)
    np.testing.assert_allclose(found[:-1], without[:-1], rtol=1e-6)
    np.testing.assert_allclose(found[-1], 1 - np.sum(np.asarray(without[:-1], np.float64)), atol=1e-6)
    slopes = jax.jacrev(lambda sigma: compositing.weights(sigma, delta, opaque_background=True))(density)
    assert np.isfinite(slopes).all()
    np.testing.assert_allclose(jnp.sum(slopes, axis=0), 0, atol=1e-3)  # what is taken from one is given to others
    np.testing.assert_array_equal(slopes[:, -1], 0)
