import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.lifting import over_rays, over_samples
from nerf.ray.ndc import ndc_to_t, point_from_ndc, point_to_ndc, to_ndc
from nerf.ray.structs import Ray

SCALE = jnp.array([1.7, 2.3])


def rays(count=50, seed=0):
    """Rays of a forward facing scene, from before and behind the near plane."""
    rng = np.random.default_rng(seed)
    direction = np.stack([*rng.uniform(-0.7, 0.7, (2, count)), rng.uniform(-1.5, -0.5, count)], axis=1)
    origin = np.stack([*rng.uniform(-1, 1, (2, count)), rng.uniform(-1.5, 0.5, count)], axis=1)
    unit = direction / np.linalg.norm(direction, axis=1, keepdims=True)
    number = np.ones(count)
    fields = (origin, direction, unit, 0.01 * number, 0.3 * number, 9 * number)
    return Ray(*(jnp.asarray(field, jnp.float32) for field in fields))


def projective(point, near):
    """The map of points, with the matrix of a camera as graphics libraries have it, float64: [n, 3] -> [n, 3]."""
    sx, sy = np.asarray(SCALE, np.float64)
    matrix = np.array([[sx, 0, 0, 0], [0, sy, 0, 0], [0, 0, -1, -2 * near], [0, 0, -1, 0]])
    homogeneous = np.concatenate([point, np.ones((len(point), 1))], axis=1) @ matrix.T
    return homogeneous[:, :3] / homogeneous[:, 3:]


@pytest.mark.parametrize('near', [1.0, 0.4])
@pytest.mark.parametrize('t_ndc', [0.0, 0.3, 0.9, 0.999])
def test_points_of_the_ray_are_mapped_points(t_ndc, near):
    world = rays()
    found = over_rays(lambda ray: to_ndc(ray, SCALE, near))(world)
    t = np.asarray(over_rays(lambda ray: ndc_to_t(ray, jnp.float32(t_ndc), near))(world), np.float64)
    point = np.asarray(world.origin, np.float64) + t[:, None] * np.asarray(world.direction, np.float64)
    np.testing.assert_allclose(found.origin + t_ndc * found.direction, projective(point, near), atol=3e-5)
    np.testing.assert_allclose(point[:, 2], -near / (1 - t_ndc), rtol=1e-4)


def test_from_the_near_plane_to_infinity():
    world = rays()
    found = over_rays(lambda ray: to_ndc(ray, SCALE))(world)
    np.testing.assert_array_equal(found.origin[:, 2], -1)
    np.testing.assert_array_equal(found.origin[:, 2] + found.direction[:, 2], 1)
    np.testing.assert_array_equal(found.near, 0)
    np.testing.assert_array_equal(found.far, 1)
    # Infinitely far, only the direction counts.
    slope = world.direction[:, :2] / -world.direction[:, 2:]
    np.testing.assert_allclose((found.origin + found.direction)[:, :2], SCALE[None] * slope, atol=3e-6)
    np.testing.assert_array_equal(found.viewdir, world.viewdir)
    np.testing.assert_array_equal(found.radius, world.radius)


def test_a_camera_s_picture_fills_the_cube():
    # At the origin with f = 20 px, 40 px wide and 30 px high: what its corner sees is the cube's edge.
    direction = jnp.array([1.0, -0.75, -1.0])
    ray = Ray(jnp.zeros(3), direction, direction, jnp.float32(0.1), jnp.float32(0), jnp.float32(1))
    found = to_ndc(ray, jnp.array([2 * 20 / 40, 2 * 20 / 30]))
    np.testing.assert_allclose(found.origin, [1, -1, -1], rtol=1e-6)
    np.testing.assert_allclose(found.direction, [0, 0, 2], atol=1e-6)


def test_the_end_is_far_but_finite():
    world = jax.tree.map(lambda field: field[0], rays())
    t = jax.jit(lambda t: ndc_to_t(world, t))
    assert 0.9e6 < -float(t(1.0) * world.direction[2]) < 1.1e6
    assert np.isfinite(jax.grad(t)(1.0))
    assert float(t(0.999)) < float(t(1.0))


def test_a_ray_that_does_not_go_forward_is_finite():
    world = jax.tree.map(lambda field: field[0], rays())
    for z in (0.0, 1.0):
        sideways = world.replace(direction=world.direction.at[2].set(z))
        gradient = jax.grad(lambda ray: jnp.sum(to_ndc(ray, SCALE).direction) + ndc_to_t(ray, jnp.float32(0.5)))(sideways)
        assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((to_ndc(sideways, SCALE), gradient)))


@pytest.mark.parametrize('near', [1.0, 0.4])
def test_points_go_into_the_cube_and_come_back(near):
    rng = np.random.default_rng(1)
    z = -np.geomspace(near, 40 * near, 60)
    world = np.concatenate([rng.uniform(-0.5, 0.5, (60, 2)) * -z[:, None], z[:, None]], axis=1)
    inside = projective(world, near)
    found = over_samples(lambda x: point_to_ndc(x, SCALE, near))(jnp.asarray(world, jnp.float32))
    np.testing.assert_allclose(found, inside, atol=1e-5)
    # 1 - z' is rounded as 1 is, and is as small as 1 / 20.
    back = over_samples(lambda x: point_from_ndc(x, SCALE, near))(jnp.asarray(inside, jnp.float32))
    np.testing.assert_allclose(back, world, rtol=1e-5)


def test_a_point_from_the_far_face_is_far_but_finite():
    for z in (1.0, 1.5):
        found = point_from_ndc(jnp.array([0.2, -0.1, z]), SCALE)
        np.testing.assert_allclose(found, 1e6 * np.array([0.2 / 1.7, -0.1 / 2.3, -1]), rtol=1e-5)
