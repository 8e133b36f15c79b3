import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.ray import gaussians
from nerf.ray.contraction import contract

ORIGIN = jnp.array([0.5, -1.0, 2.0])
DIRECTION = jnp.array([0.4, 0.9, -1.2])
ALONG_Z = jnp.array([0.0, 0.0, -1.0])


def axes_across(direction):
    unit = direction / np.linalg.norm(direction)
    first = np.cross(unit, [1.0, 0.0, 0.0] if abs(unit[0]) < 0.9 else [0.0, 1.0, 0.0])
    first /= np.linalg.norm(first)
    return first, np.cross(unit, first)


def moments(t0, t1, origin, direction, radius_at):
    """Mean and covariance of a solid of revolution, by float64 quadrature over its volume (exact for cones)."""
    t0, t1 = np.float64(t0), np.float64(t1)
    node, weight = np.polynomial.legendre.leggauss(8)
    middle, half = (t0 + t1) / 2, (t1 - t0) / 2
    angle = 2 * np.pi * np.arange(8) / 8
    offset, share, angle = np.meshgrid(node * half, (node + 1) / 2, angle, indexing='ij')
    radius = radius_at(middle + offset)
    mass = weight[:, None, None] * weight[None, :, None] * share * radius**2  # dt, rho d(rho), and d(phi)
    mass = mass / mass.sum()
    first, second = axes_across(direction)
    rho = share * radius
    # Relative to the middle: what is far away must not cancel in the reference either.
    place = offset[..., None] * direction
    place = place + rho[..., None] * (np.cos(angle)[..., None] * first + np.sin(angle)[..., None] * second)
    mean = np.einsum('abc,abci->i', mass, place)
    cov = np.einsum('abc,abci,abcj->ij', mass, place - mean, place - mean)
    return origin + middle * direction + mean, cov


def as64(*values):
    return tuple(np.asarray(value, np.float32).astype(np.float64) for value in values)


@pytest.mark.parametrize('direction', [DIRECTION, ALONG_Z])
@pytest.mark.parametrize(('t0', 't1'), [(0.0, 1.0), (0.1, 0.4), (2.0, 6.0), (3.0, 3.01), (0.0, 1e-4)])
def test_frustum_has_the_moments_of_its_volume(t0, t1, direction):
    radius = 0.3
    found = gaussians.frustum_to_gaussian(jnp.float32(t0), jnp.float32(t1), ORIGIN, direction, radius)
    t0, t1, origin, direction, radius = as64(t0, t1, ORIGIN, direction, radius)
    mean, cov = moments(t0, t1, origin, direction, lambda t: radius * t)
    np.testing.assert_allclose(found.mean, mean, rtol=2e-6, atol=2e-7)
    np.testing.assert_allclose(found.cov, cov, atol=2e-6 * np.abs(cov).max())


@pytest.mark.parametrize(('t0', 't1'), [(1e3, 1e3 + 1e-3), (1e3, 1001.0), (1e6, 1e6 + 1), (1e-6, 2e-6), (0.0, 10.0)])
def test_frustum_keeps_its_digits_far_away_and_thin(t0, t1):
    radius = 1e-3
    t0, t1 = np.float32(t0), np.float32(t1)
    found = gaussians.frustum_to_gaussian(jnp.array(t0), jnp.array(t1), jnp.zeros(3), ALONG_Z, radius)
    direction, wide = as64(ALONG_Z, radius)
    mean, cov = moments(t0, t1, np.zeros(3), direction, lambda t: wide * t)
    np.testing.assert_allclose(found.mean, mean, rtol=3e-7, atol=1e-12)
    np.testing.assert_allclose(np.diagonal(found.cov), np.diagonal(cov), rtol=3e-6)
    assert (np.diagonal(found.cov) > 0).all()


@pytest.mark.parametrize('direction', [DIRECTION, ALONG_Z])
def test_cylinder_has_the_moments_of_its_volume(direction):
    found = gaussians.cylinder_to_gaussian(jnp.float32(2.0), jnp.float32(2.5), ORIGIN, direction, 0.3)
    origin, direction, radius = as64(ORIGIN, direction, 0.3)
    mean, cov = moments(2.0, 2.5, origin, direction, lambda t: radius + 0 * t)
    np.testing.assert_allclose(found.mean, mean, rtol=2e-6, atol=2e-7)
    np.testing.assert_allclose(found.cov, cov, atol=2e-6 * np.abs(cov).max())


def test_the_frustum_does_not_depend_on_how_the_direction_is_scaled():
    one = gaussians.frustum_to_gaussian(jnp.float32(2.0), jnp.float32(3.0), ORIGIN, DIRECTION, 0.1)
    other = gaussians.frustum_to_gaussian(jnp.float32(1.0), jnp.float32(1.5), ORIGIN, 2 * DIRECTION, 0.2)
    np.testing.assert_allclose(one.mean, other.mean, rtol=1e-6)
    np.testing.assert_allclose(one.cov, other.cov, rtol=1e-5, atol=1e-8)


def test_along_ray_by_hand():
    found = gaussians.along_ray(2.0, 0.5, 0.1, ORIGIN, jnp.array([0.0, 2.0, 0.0]))
    np.testing.assert_allclose(found.mean, [0.5, 3.0, 2.0])
    np.testing.assert_allclose(found.cov, np.diag([0.1, 0.5 * 4, 0.1]), atol=1e-7)


def test_along_ray_has_these_variances_along_and_across():
    found = np.asarray(gaussians.along_ray(2.0, 0.5, 0.1, ORIGIN, DIRECTION).cov)
    length = np.linalg.norm(DIRECTION)
    first, second = axes_across(np.asarray(DIRECTION))
    np.testing.assert_allclose(found @ DIRECTION, 0.5 * length**2 * DIRECTION, rtol=1e-5)
    np.testing.assert_allclose(found @ first, 0.1 * first, atol=1e-6)
    np.testing.assert_allclose(found @ second, 0.1 * second, atol=1e-6)


@pytest.mark.parametrize('t', [0.0, 1.0, 1e6])
def test_an_empty_frustum_is_a_disc_without_depth(t):
    found = gaussians.frustum_to_gaussian(jnp.float32(t), jnp.float32(t), jnp.zeros(3), ALONG_Z, 0.01)
    np.testing.assert_allclose(found.mean, [0, 0, -t], rtol=1e-6)
    np.testing.assert_allclose(np.diagonal(found.cov), [(0.01 * t) ** 2 / 4, (0.01 * t) ** 2 / 4, 0], rtol=1e-5)


@functools.cache
def slopes(shape):
    def value(t0, t1, direction, radius):
        found = shape(t0, t1, jnp.zeros(3), direction, radius)
        return jnp.sum(found.mean) + jnp.sum(found.cov)

    return jax.jit(jax.grad(value, (0, 1, 2, 3)))


@pytest.mark.parametrize('shape', [gaussians.frustum_to_gaussian, gaussians.cylinder_to_gaussian])
@pytest.mark.parametrize(('t0', 't1'), [(0.0, 0.0), (0.0, 1.0), (1.0, 1.0), (1e6, 1e6), (1e-25, 1e-25)])
def test_gradients_are_finite_at_every_limit(shape, t0, t1):
    for direction in (ALONG_Z, jnp.zeros(3)):
        assert all(np.isfinite(g).all() for g in slopes(shape)(t0, t1, direction, 0.01))


def contract64(x):
    length = np.linalg.norm(x, axis=-1, keepdims=True)
    return np.where(length <= 1, x, (2 - 1 / np.maximum(length, 1)) * x / np.maximum(length, 1))


def test_push_through_a_linear_map_is_exact():
    matrix, offset = np.random.default_rng(0).normal(size=(3, 3)), np.array([1.0, -2.0, 0.5])
    one = gaussians.frustum_to_gaussian(jnp.float32(1.0), jnp.float32(3.0), ORIGIN, DIRECTION, 0.3)
    linear = jnp.asarray(matrix, jnp.float32)
    found = gaussians.push_forward(lambda x: jnp.sum(linear * x[None, :], axis=1) + jnp.asarray(offset, jnp.float32), one)
    np.testing.assert_allclose(found.mean, matrix @ one.mean + offset, rtol=1e-5)
    np.testing.assert_allclose(found.cov, matrix @ one.cov @ matrix.T, atol=1e-5)


@pytest.mark.parametrize('mean', [(1.5, -2.0, 1.0), (0.2, 0.1, -0.4), (-9.0, 3.0, 20.0)])
def test_push_through_the_contraction_against_many_points(mean):
    mean = np.array(mean)
    root = 0.01 * np.linalg.norm(mean) * np.array([[1.0, 0.3, -0.2], [0.3, 0.4, 0.1], [-0.2, 0.1, 0.7]])
    offset = np.random.default_rng(0).normal(size=(100_000, 3)) @ root
    points = contract64(mean + np.concatenate([offset, -offset]))
    one = gaussians.Gaussian(mean=jnp.asarray(mean, jnp.float32), cov=jnp.asarray(root @ root.T, jnp.float32))
    found = gaussians.push_forward(contract, one)
    size = np.sqrt(np.abs(np.cov(points.T)).max())
    np.testing.assert_allclose(found.mean, points.mean(0), atol=0.02 * size)
    np.testing.assert_allclose(found.cov, np.cov(points.T), atol=0.02 * size**2)


@jax.jit
def contracted(t0, t1):
    return gaussians.push_forward(contract, gaussians.frustum_to_gaussian(t0, t1, ORIGIN, DIRECTION, 1e-3))


CONTRACTED_SLOPES = jax.jit(jax.jacrev(contracted, (0, 1)))


@pytest.mark.parametrize(
    ('t0', 't1', 'error'),
    # Along the ray, what is far becomes so short that rounding across it shows.
    [(0.2, 0.21, 1e-5), (0.9, 1.1, 1e-5), (0.0, 0.0, 0), (3.0, 30.0, 1e-4), (1e3, 1e6, 0.02), (1e6, 1e6, 1e-4)],
)
def test_contracted_segments_are_gaussians(t0, t1, error):
    found = contracted(jnp.float32(t0), jnp.float32(t1))
    one = gaussians.frustum_to_gaussian(jnp.float32(t0), jnp.float32(t1), ORIGIN, DIRECTION, 1e-3)
    mean, cov = as64(one.mean, one.cov)
    step = 1e-6 * max(1.0, np.linalg.norm(mean))
    slopes = np.stack([(contract64(mean + d) - contract64(mean - d)) / (2 * step) for d in step * np.eye(3)], axis=1)
    expected = slopes @ cov @ slopes.T
    largest = np.abs(expected).max()
    np.testing.assert_allclose(found.mean, contract64(mean), rtol=1e-6)
    np.testing.assert_allclose(found.cov, expected, atol=error * largest + 1e-12)
    np.testing.assert_allclose(found.cov, found.cov.T, atol=error * largest)
    assert np.linalg.eigvalsh((found.cov + found.cov.T) / 2).min() >= -error * largest
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves(CONTRACTED_SLOPES(jnp.float32(t0), jnp.float32(t1))))
