import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.data.built_in import still_life
from nerf.data.built_in.still_life import trace
from nerf.lifting import over_rays
from nerf.ray.maths import normalise
from nerf.ray.structs import Ray


def ray_to(origin, target, stretch=1.0):
    """A ray whose direction has the length `stretch`."""
    viewdir = normalise(jnp.asarray(target, jnp.float32) - jnp.asarray(origin, jnp.float32))
    return Ray(jnp.asarray(origin, jnp.float32), stretch * viewdir, viewdir, jnp.float32(1e-3), jnp.float32(2), jnp.float32(6))


def rays(count):
    rng = np.random.default_rng(0)
    origin = rng.normal(size=(count, 3))
    origin *= 4 / np.linalg.norm(origin, axis=1, keepdims=True)
    origin[:, 2] = np.abs(origin[:, 2])
    return over_rays(ray_to)(jnp.float32(origin), jnp.float32(rng.uniform(-1, 1, (count, 3))))


TRACE = jax.jit(trace)
SEEN = jax.jit(over_rays(trace))(rays(3000))


def test_the_first_solid_in_the_way_is_seen():
    x, y, z, radius = still_life.GOLD
    outward = np.array([0.6, 0.0, 0.8])
    centre = np.array([x, y, z])
    seen = TRACE(ray_to(centre + 4 * outward, centre))
    np.testing.assert_allclose(seen.distance, 4 - radius, rtol=1e-6)
    np.testing.assert_allclose(seen.normal, outward, atol=1e-6)
    assert seen.rgb[0] > seen.rgb[1] > seen.rgb[2] + 0.2  # gold
    plate = TRACE(ray_to([0.2, -0.9, 4.0], [0.2, -0.9, 0.0]))
    np.testing.assert_allclose(plate.distance, 4 - still_life.FLOOR, rtol=1e-6)
    np.testing.assert_array_equal(plate.normal, [0, 0, 1])


def test_a_miss_is_empty_and_reports_far_in_world_units():
    seen = TRACE(ray_to([4.0, 0.0, 0.0], [4.0, 1.0, 0.0], stretch=1.5))
    np.testing.assert_array_equal(seen.rgb, 0)
    np.testing.assert_array_equal(seen.normal, 0)
    assert seen.alpha == 0
    np.testing.assert_allclose(seen.distance, 9)


def test_surfaces_are_within_bounds_and_face_the_camera():
    cast = rays(3000)
    hit = np.asarray(SEEN.alpha) > 0
    assert 0.3 < hit.mean() < 0.95
    points = np.asarray(cast.origin + SEEN.distance[:, None] * cast.viewdir)[hit]
    assert np.abs(points).max() < 1.1
    assert np.linalg.norm(points, axis=1).max() < 1.2
    assert points[:, 2].min() >= still_life.FLOOR - 0.1 - 1e-5
    np.testing.assert_allclose(np.linalg.norm(np.asarray(SEEN.normal)[hit], axis=1), 1, atol=1e-5)
    assert (np.sum(np.asarray(SEEN.normal * cast.viewdir), axis=1)[hit] < 1e-3).all()
    rgb = np.asarray(SEEN.rgb)
    assert np.isfinite(rgb).all()
    assert rgb.min() >= 0
    assert rgb.max() <= 1
    assert rgb[hit].std(axis=0).min() > 0.1  # more than one colour


def test_every_solid_is_reached():
    points = [(*still_life.CORAL[:3],), (*still_life.GOLD[:3],), (*still_life.BALL[:3],), still_life.BOX_CENTRE]
    points += [np.add(still_life.CYLINDER, (0, 0, 0.3)), np.add(still_life.CONE, (0, 0, 0.1)), (0.0, -1.0, still_life.FLOOR)]
    for solid, point in zip([1, 2, 3, 4, 5, 6, 0], points, strict=True):
        ray = ray_to(np.array([0.0, -1.0, 4.0]), point)
        entered = [float(each.enter(ray.origin, ray.viewdir).distance) for each in still_life.SOLIDS]
        assert np.isfinite(entered[solid])
        np.testing.assert_allclose(TRACE(ray).distance, min(entered), rtol=1e-6)


def test_stacking_single_rays_equals_lifting():
    few = jax.tree.map(lambda field: field[:5], rays(3000))
    single = [TRACE(jax.tree.map(lambda field: field[i], few)) for i in range(5)]  # noqa: B023
    for name in ('rgb', 'alpha', 'distance', 'normal'):
        stacked = np.stack([getattr(each, name) for each in single])
        np.testing.assert_allclose(stacked, getattr(SEEN, name)[:5], atol=2e-5)


def test_only_shiny_things_look_different_from_elsewhere():
    """The highlight of the coral sphere moves with the viewer, what is not mirrored stays."""
    centre, radius = np.array(still_life.CORAL[:3]), still_life.CORAL[3]
    light = np.array(still_life.KEY_LIGHT) / np.linalg.norm(still_life.KEY_LIGHT)
    viewer = np.array([-0.6, 0.0, 0.8])
    top = centre + radius * (light + viewer) / np.linalg.norm(light + viewer)
    mirrored = TRACE(ray_to(top + 3 * viewer, top))
    aside = TRACE(ray_to(top + 3 * np.array([0.0, 0.6, 0.8]), top))
    assert float(jnp.min((mirrored.rgb - aside.rgb)[1:])) > 0.2  # red is saturated
    ground = np.array([0.0, -0.97, still_life.FLOOR])
    one, other = (TRACE(ray_to(ground + np.array([x, 0.0, 3.0]), ground)) for x in (-1.0, 1.0))
    np.testing.assert_allclose(one.rgb, other.rgb, atol=0.02)


def test_the_ground_is_darker_where_a_solid_hides_the_light():
    """Of two points of the plate with the same paint, on either side of the cone, the one away from the light is darker."""
    away = -np.array(still_life.KEY_LIGHT[:2]) / np.linalg.norm(still_life.KEY_LIGHT[:2])
    base = np.array(still_life.CONE[:2])
    point, normal, down = np.zeros(3), jnp.array([0.0, 0.0, 1.0]), jnp.array([0.0, 0.0, -1.0])
    lit = []
    for side in (1, -1):
        point = jnp.array([*(base + side * 0.4 * away), still_life.FLOOR])
        lit.append(float(jnp.sum(still_life._light(point, normal, down, jnp.int32(0))[0])))
    assert lit[0] < 0.75 * lit[1]


def test_a_batch_is_refused():
    with pytest.raises(ValueError, match=r'expected one ray, origin of shape \(3,\), got \(3000, 3\): lift with over_rays'):
        trace(rays(3000))


def test_a_point_is_solid_just_behind_the_surface_and_not_before_it():
    hit = np.asarray(SEEN.alpha) > 0
    cast = rays(3000)
    for offset, expected in ((2e-3, True), (-2e-3, False)):
        points = (cast.origin + (SEEN.distance + offset)[:, None] * cast.viewdir)[hit]
        found = np.asarray(jax.jit(over_rays(still_life.is_solid))(points))
        assert (found == expected).mean() > 0.99  # grazing rays leave again within this length
