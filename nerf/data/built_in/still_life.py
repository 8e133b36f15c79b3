"""Ray tracing of the built-in scene for ONE ray: a few painted solids on a chequered plate, shaded in closed form.

The z axis points up; all solids lie within 1.2 of the origin. Light comes from the sky above, from the plate below by
reflection, and from one key light. Occluders are approximated by spheres, for which the occlusion of the sky and a soft
shadow are formulas: without sampling there is no noise.
"""

import dataclasses
import math
from collections.abc import Callable
from functools import partial, reduce
from typing import Any

import jax.numpy as jnp
from flax import struct

from nerf.data.built_in.shapes import Hit, box, frustum, in_box, in_frustum, in_sphere, nearer, sphere, turn
from nerf.lifting import over_samples
from nerf.ray.maths import linear_to_srgb, norm, normalise, srgb_to_linear
from nerf.ray.structs import Array, Ray, expect_one_ray

FLOOR = -0.36  # height of the plate's upper face, world
PLATE_RADIUS = 1.06
BALL = (0.10, -0.58, FLOOR + 0.24, 0.24)
BOX_CENTRE, BOX_HALF, BOX_ANGLE = (0.36, 0.34, FLOOR + 0.29), (0.29, 0.29, 0.29), 0.35
CORAL = (-0.42, 0.30, FLOOR + 0.42, 0.42)
GOLD = (0.36, 0.34, FLOOR + 0.58 + 0.2, 0.2)
CYLINDER = (0.60, -0.24, FLOOR)
CONE = (-0.44, -0.40, FLOOR)


@struct.dataclass
class Surface:
    """Surface point that one ray hits, or a miss.

    Attributes:
        rgb: [3], sRGB in [0, 1]; zeros for a miss.
        alpha: [], 1 for a hit, 0 for a miss.
        distance: [], world, along the ray; that of t = far for a miss.
        normal: [3], unit, world, facing the camera; zeros for a miss.
    """

    rgb: Array
    alpha: Array
    distance: Array
    normal: Array


@dataclasses.dataclass(frozen=True)
class Solid:
    """One object of the scene.

    Attributes:
        enter: intersects it with a ray (origin [3], unit direction [3]).
        contains: returns whether a world point [3] lies in it.
        paint: returns its colour at a world point [3] of its surface, linear RGB [3].
        gloss: strength of highlight and reflection, [0, 1].
        proxies: spheres (x, y, z, radius) that fill it, for its shadows on the other solids.
    """

    enter: Callable[[Array, Array], Hit]
    contains: Callable[[Array], Array]
    paint: Callable[[Array], Array]
    gloss: float
    proxies: tuple[tuple[float, float, float, float], ...]


def _colour(code: str) -> Array:
    """Convert an sRGB colour in hexadecimal to linear RGB [3]."""
    return srgb_to_linear(jnp.array([int(code[i : i + 2], 16) / 255 for i in (0, 2, 4)]))


def _choose(condition: Array, yes: str, no: str) -> Array:
    """Return one of two colours [3], linear RGB."""
    return jnp.where(condition, _colour(yes), _colour(no))


def _paint_plate(point: Array) -> Array:
    """Paint chequered squares, a border with tick marks (finer than a pixel at 100 px, on purpose), and a plain rim."""
    radius, is_top = norm(point[:2]), point[2] > FLOOR - 1e-3
    cell = jnp.floor(point[:2] / 0.36 + 0.5)
    squares = _choose(jnp.mod(cell[0] + cell[1], 2) < 1, 'f4ecdd', 'b3ccd6')
    tick = (jnp.mod(jnp.arctan2(point[1], point[0]) * 60 / math.pi, 1) < 0.5) & (radius > 0.96) & (radius < 1.02)
    border = _choose(tick & is_top, 'f4ecdd', 'd3ad86')
    return jnp.where((radius < 0.92) & is_top, squares, border)


def _paint_ball(point: Array) -> Array:
    """Paint two halves of similar colour, divided by an inclined plane."""
    local = point - jnp.array(BALL[:3])
    return _choose(jnp.sum(local * jnp.array([0.75, 0.3, 0.55])) > 0, 'f6c3bd', 'e58a9b')


def _paint_cylinder(point: Array) -> Array:
    """Paint one ring around the middle of a light cylinder."""
    return _choose(jnp.abs(point[2] - FLOOR - 0.33) < 0.12, '6fae8c', 'b5d8bf')


def _paint_box(point: Array) -> Array:
    """Paint a frame along every edge, where two of the local coordinates are large relative to the half edges."""
    local = jnp.abs(turn(point - jnp.array(BOX_CENTRE), -BOX_ANGLE)) / jnp.array(BOX_HALF)
    return _choose(jnp.sum(local > 0.7) > 1, '4a9fb0', '86c5cf')


def _plain(code: str) -> Callable[[Array], Array]:
    """Return a paint of one colour everywhere."""
    return lambda _: _colour(code)


def _sphere(ball: tuple[float, float, float, float]) -> dict[str, Any]:
    """Return the shape of a sphere (x, y, z, radius), as the fields of a `Solid`."""
    shape = {'centre': ball[:3], 'radius': ball[3]}
    return {'enter': partial(sphere, **shape), 'contains': partial(in_sphere, **shape)}


def _box(**shape: Any) -> dict[str, Any]:
    """Return the shape of a box, as the fields of a `Solid`."""
    return {'enter': partial(box, **shape), 'contains': partial(in_box, **shape)}


def _frustum(**shape: Any) -> dict[str, Any]:
    """Return the shape of a cylinder, cone or slab, as the fields of a `Solid`."""
    return {'enter': partial(frustum, **shape), 'contains': partial(in_frustum, **shape)}


SOLIDS = (
    Solid(
        **_frustum(base=(0.0, 0.0, FLOOR - 0.1), height=0.1, radii=(PLATE_RADIUS, PLATE_RADIUS)),
        paint=_paint_plate,
        gloss=0.15,
        proxies=(),
    ),
    Solid(**_sphere(CORAL), paint=_plain('f0654a'), gloss=1.0, proxies=(CORAL,)),
    Solid(**_sphere(GOLD), paint=_plain('f2b632'), gloss=1.0, proxies=(GOLD,)),
    Solid(**_sphere(BALL), paint=_paint_ball, gloss=0.6, proxies=(BALL,)),
    Solid(
        **_box(centre=BOX_CENTRE, half=BOX_HALF, angle=BOX_ANGLE),
        paint=_paint_box,
        gloss=0.25,
        proxies=((*BOX_CENTRE, 0.34),),
    ),
    Solid(
        **_frustum(base=CYLINDER, height=0.66, radii=(0.22, 0.22)),
        paint=_paint_cylinder,
        gloss=0.4,
        proxies=tuple((*CYLINDER[:2], FLOOR + z, 0.22) for z in (0.16, 0.34, 0.5)),
    ),
    Solid(
        **_frustum(base=CONE, height=0.78, radii=(0.3, 0.0)),
        paint=_plain('8a6fc2'),
        gloss=0.4,
        proxies=tuple((*CONE[:2], FLOOR + z, r) for z, r in ((0.2, 0.22), (0.42, 0.14), (0.6, 0.07))),
    ),
)

KEY_LIGHT = (-0.45, -0.50, 0.74)  # towards the light; normalised where used


def _shade_of(point: Array, normal: Array, light: Array, proxy: Array, owned: Array) -> tuple[Array, Array]:
    """Compute the shares of sky and key light, in [0, 1], that a sphere (x, y, z, radius) [4] occludes at a point.

    Sky: the form factor of a sphere in full view, cos(theta) r^2 / d^2. Key light: how far inside the sphere the light ray
    passes, relative to a penumbra that widens with distance. A solid does not shade itself (`owned`).
    """
    centre, radius = proxy[:3] - point, proxy[3]
    square = jnp.maximum(jnp.sum(centre**2), radius**2)
    sky = jnp.clip(jnp.sum(centre * normal) * radius**2 / square**1.5, 0.0, 0.9)
    along = jnp.sum(centre * light)
    aside = jnp.sqrt(jnp.maximum(square - along**2, 0.0))
    inside = jnp.clip(0.5 + (radius - aside) / (0.05 + 0.3 * jnp.abs(along)), 0.0, 1.0)
    shadow = inside**2 * (3 - 2 * inside) * (along > 0)
    return jnp.where(owned, 0.0, sky), jnp.where(owned, 0.0, shadow)


def _light(point: Array, normal: Array, viewdir: Array, solid: Array) -> tuple[Array, Array]:
    """Compute the diffuse and specular light [3], linear RGB, that a point of solid `solid` reflects back along `viewdir`."""
    light = normalise(jnp.array(KEY_LIGHT))
    proxies = jnp.array([proxy for each in SOLIDS for proxy in each.proxies])
    owners = jnp.array([i for i, each in enumerate(SOLIDS) for _ in each.proxies])
    shade = over_samples(_shade_of, in_axes=(None, None, None, 0, 0))
    sky_taken, key_taken = shade(point, normal, light, proxies, owners == solid)
    open_sky, key = jnp.prod(1 - sky_taken), 1 - jnp.max(key_taken)
    up, height = 0.5 + 0.5 * normal[2], jnp.maximum(point[2] - FLOOR, 0.0)
    facing = jnp.sum(normal * light)
    diffuse = (
        up * open_sky * jnp.array([0.44, 0.50, 0.60])
        + (1 - up) * (0.25 + height) / (0.5 + height) * jnp.array([0.42, 0.37, 0.32])
        + jnp.maximum(facing, 0.0) * key * jnp.array([0.90, 0.83, 0.72])
    )
    towards = jnp.sum(viewdir * normal)
    highlight = 0.55 * jnp.maximum(jnp.sum(normal * normalise(light - viewdir)), 0.0) ** 60 * key * (facing > 0)
    mirrored_up = viewdir[2] - 2 * towards * normal[2]
    fresnel = 0.03 + 0.25 * jnp.clip(1 + towards, 0.0, 1.0) ** 3
    sheen = fresnel * jnp.clip(0.5 + mirrored_up, 0.0, 1.0) * open_sky
    return diffuse, highlight + sheen * jnp.array([0.9, 0.95, 1.0])


def is_solid(point: Array) -> Array:
    """Return whether a world point [3] lies in one of the solids.

    Raises:
        ValueError: if given a batch of points.
    """
    return jnp.any(jnp.stack([each.contains(point) for each in SOLIDS]))


def trace(ray: Ray) -> Surface:
    """Intersect one ray with the scene and shade the nearest surface.

    Raises:
        ValueError: if given a batch of rays.
    """
    expect_one_ray(ray)
    hits = [each.enter(ray.origin, ray.viewdir) for each in SOLIDS]
    hit = reduce(nearer, hits)
    alpha = jnp.isfinite(hit.distance)
    solid = jnp.argmin(jnp.stack([each.distance for each in hits]))
    point = ray.origin + jnp.where(alpha, hit.distance, 0.0) * ray.viewdir
    paint, gloss = jnp.zeros(3), jnp.zeros(())
    for i, each in enumerate(SOLIDS):
        paint = jnp.where(solid == i, each.paint(point), paint)
        gloss = jnp.where(solid == i, each.gloss, gloss)
    diffuse, mirrored = _light(point, hit.normal, ray.viewdir, solid)
    rgb = linear_to_srgb(jnp.clip(paint * diffuse + gloss * mirrored, 0.0, 1.0))
    return Surface(
        rgb=jnp.where(alpha, rgb, 0.0),
        alpha=alpha.astype(jnp.float32),
        distance=jnp.where(alpha, hit.distance, ray.far * norm(ray.direction)),
        normal=hit.normal,
    )
