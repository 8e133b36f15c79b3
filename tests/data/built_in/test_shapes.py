"""The closed-form entrances against marching, in float64, through the solids' implicit functions."""

import math
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.data.built_in.shapes import box, frustum, in_box, in_frustum, in_sphere, nearer, sphere, turn
from nerf.lifting import over_rays

# name: (entrance of a ray, implicit function of points [n, 3], negative inside)
SPHERE = ((0.2, -0.1, 0.3), 0.6)
BOX = ((-0.1, 0.3, 0.2), (0.5, 0.3, 0.7), 0.6)
BASE, HEIGHT = (0.1, -0.2, -0.4), 0.9


def inside_sphere(p):
    return np.linalg.norm(p - SPHERE[0], axis=1) - SPHERE[1]


def inside_box(p):
    centre, half, angle = BOX
    c, s = math.cos(angle), math.sin(angle)
    local = (p - centre) @ np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    return np.max(np.abs(local) - half, axis=1)


def inside_frustum(p, radii):
    local = p - BASE
    radius = radii[0] + (radii[1] - radii[0]) * local[:, 2] / HEIGHT
    return np.max([np.hypot(local[:, 0], local[:, 1]) - radius, -local[:, 2], local[:, 2] - HEIGHT], axis=0)


def of_frustum(radii):
    return partial(frustum, base=BASE, height=HEIGHT, radii=radii), partial(inside_frustum, radii=radii)


SOLIDS = {
    'sphere': (partial(sphere, centre=SPHERE[0], radius=SPHERE[1]), inside_sphere),
    'box': (partial(box, centre=BOX[0], half=BOX[1], angle=BOX[2]), inside_box),
    'cylinder': of_frustum((0.5, 0.5)),
    'cone': of_frustum((0.6, 0.0)),
    'frustum': of_frustum((0.3, 0.7)),
}


def rays(count, seed=0):
    """Rays from a sphere of radius 4 towards points near the origin: most of them, not all, meet the solids."""
    rng = np.random.default_rng(seed)
    origin = rng.normal(size=(count, 3))
    origin *= 4 / np.linalg.norm(origin, axis=1, keepdims=True)
    direction = rng.uniform(-0.8, 0.8, (count, 3)) - origin
    return origin, direction / np.linalg.norm(direction, axis=1, keepdims=True)


def marched(inside, origin, direction):
    """Distance to the first sign change along one ray, by small steps and bisection; infinite if there is none."""
    steps = np.arange(2, 6.5, 2e-3)
    values = inside(origin + steps[:, None] * direction)
    if not (values < 0).any():
        return np.inf
    low, high = steps[np.argmax(values < 0) - 1], steps[np.argmax(values < 0)]
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (low, middle) if inside((origin + middle * direction)[None])[0] < 0 else (middle, high)
    return low


def gradient(inside, point):
    step = 1e-6 * np.eye(3)
    slope = inside(point + step) - inside(point - step)
    return slope / np.linalg.norm(slope)


@pytest.mark.parametrize('name', SOLIDS)
def test_entrance_is_where_marching_enters(name):
    enter, inside = SOLIDS[name]
    origin, direction = rays(300)
    hits = jax.jit(over_rays(enter))(jnp.float32(origin), jnp.float32(direction))
    expected = np.array([marched(inside, o, d) for o, d in zip(origin, direction, strict=True)])
    assert 60 < np.isfinite(expected).sum() < 270
    same = np.isfinite(hits.distance) == np.isfinite(expected)
    assert (~same).sum() <= 2  # chords shorter than a step of the march
    both = np.isfinite(hits.distance) & np.isfinite(expected)
    np.testing.assert_allclose(np.asarray(hits.distance)[both], expected[both], atol=1e-5)


@pytest.mark.parametrize('name', SOLIDS)
def test_hits_lie_on_the_surface_with_its_normal_towards_the_ray(name):
    enter, inside = SOLIDS[name]
    origin, direction = rays(2000, seed=1)
    hits = jax.jit(over_rays(enter))(jnp.float32(origin), jnp.float32(direction))
    found = np.isfinite(hits.distance)
    points = origin[found] + np.asarray(hits.distance, np.float64)[found, None] * direction[found]
    normals = np.asarray(hits.normal)[found]
    np.testing.assert_allclose(inside(points), 0, atol=3e-6)
    assert (np.sum(normals * direction[found], axis=1) < 1e-3).all()
    expected = np.array([gradient(inside, point) for point in points])
    agrees = np.abs(normals - expected).max(axis=1) < 2e-3
    assert agrees.mean() > 0.995  # the finite difference is wrong on an edge
    np.testing.assert_array_equal(np.asarray(hits.normal)[~found], 0)


@pytest.mark.parametrize('name', SOLIDS)
def test_what_lies_behind_is_not_seen(name):
    enter, _ = SOLIDS[name]
    origin, direction = rays(50)
    assert np.isfinite(over_rays(enter)(jnp.float32(origin), jnp.float32(direction)).distance).any()
    assert not np.isfinite(over_rays(enter)(jnp.float32(origin), jnp.float32(-direction)).distance).any()


def test_rays_where_the_quadratic_loses_its_square():
    down = jnp.array([0.0, 0.0, -1.0])
    above = jnp.array(BASE) + jnp.array([0.2, 0.1, 3.0])
    cylinder = frustum(above, down, base=BASE, height=HEIGHT, radii=(0.5, 0.5))
    np.testing.assert_allclose(cylinder.distance, 3 - HEIGHT, rtol=1e-6)
    np.testing.assert_array_equal(cylinder.normal, [0, 0, 1])
    # Parallel to the opposite flank of a cone with a right angle at its top: one crossing only.
    flank = jnp.array([-1.0, 0.0, -1.0]) / math.sqrt(2)
    cone = frustum(jnp.array([2.0, 0.0, 2.5]), flank, base=(0.0, 0.0, 0.0), height=1.0, radii=(1.0, 0.0))
    np.testing.assert_allclose(cone.distance, 1.75 * math.sqrt(2), rtol=1e-6)
    np.testing.assert_allclose(cone.normal, [1 / math.sqrt(2), 0, 1 / math.sqrt(2)], atol=1e-6)


def test_along_an_axis_of_the_box():
    hit = box(jnp.array([3.0, 0.1, 0.1]), jnp.array([-1.0, 0.0, 0.0]), centre=(0.0, 0.0, 0.0), half=(0.5, 0.4, 0.3))
    np.testing.assert_allclose(hit.distance, 2.5)
    np.testing.assert_array_equal(hit.normal, [1, 0, 0])
    beside = box(jnp.array([3.0, 0.5, 0.1]), jnp.array([-1.0, 0.0, 0.0]), centre=(0.0, 0.0, 0.0), half=(0.5, 0.4, 0.3))
    assert np.isinf(beside.distance)


def test_turn_is_anticlockwise_and_the_nearer_hit_wins():
    np.testing.assert_allclose(turn(jnp.array([1.0, 0.0, 2.0]), math.pi / 2), [0, 1, 2], atol=1e-7)
    origin, direction = jnp.array([4.0, 0.0, 0.0]), jnp.array([-1.0, 0.0, 0.0])
    near, far = (sphere(origin, direction, centre=(x, 0.0, 0.0), radius=0.5) for x in (1.0, -1.0))
    missed = sphere(origin, direction, centre=(0.0, 2.0, 0.0), radius=0.5)
    for a, b in ((near, far), (far, near), (missed, near), (near, missed)):
        np.testing.assert_allclose(nearer(a, b).distance, 2.5)


def test_a_batch_is_refused():
    with pytest.raises(ValueError, match='lift with over_rays'):
        sphere(jnp.zeros((5, 3)), jnp.ones((5, 3)), centre=(0.0, 0.0, 0.0), radius=1.0)


CONTAINS = {
    'sphere': partial(in_sphere, centre=SPHERE[0], radius=SPHERE[1]),
    'box': partial(in_box, centre=BOX[0], half=BOX[1], angle=BOX[2]),
    'cylinder': partial(in_frustum, base=BASE, height=HEIGHT, radii=(0.5, 0.5)),
    'cone': partial(in_frustum, base=BASE, height=HEIGHT, radii=(0.6, 0.0)),
    'frustum': partial(in_frustum, base=BASE, height=HEIGHT, radii=(0.3, 0.7)),
}


@pytest.mark.parametrize('name', SOLIDS)
def test_a_solid_contains_where_its_implicit_function_is_negative(name):
    point = np.random.default_rng(2).uniform(-1, 1, (4000, 3))
    value = SOLIDS[name][1](point)
    sure = np.abs(value) > 1e-5
    found = np.asarray(over_rays(CONTAINS[name])(jnp.float32(point)))
    assert 100 < found.sum() < 3900
    np.testing.assert_array_equal(found[sure], value[sure] < 0)
