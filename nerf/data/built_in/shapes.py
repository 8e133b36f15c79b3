"""Intersections of ONE ray with solids in closed form: sphere, box, and frustum (cylinder, cone, slab); and what they contain.

All solids are convex and rays start outside, so a ray enters once. Distances are measured along the unit `direction`.
The origin is first moved to the point of the ray closest to the solid: the difference of two squares of the camera's
distance would otherwise cost three of float32's seven digits.
"""

import math
from functools import reduce

import jax
import jax.numpy as jnp
from flax import struct

from nerf.ray.maths import normalise
from nerf.ray.structs import Array, expect

Point = tuple[float, float, float]


@struct.dataclass
class Hit:
    """Point where a ray enters a solid.

    Attributes:
        distance: [], world, along the ray; infinite if the ray misses.
        normal: [3], unit, outward; zeros if the ray misses.
    """

    distance: Array
    normal: Array


def nearer(a: Hit, b: Hit) -> Hit:
    """Return the nearer of two hits along one ray."""
    return jax.tree.map(lambda x, y: jnp.where(a.distance <= b.distance, x, y), a, b)


def _hit(found: Array, distance: Array, normal: Array) -> Hit:
    seen = found & (distance > 0)
    return Hit(distance=jnp.where(seen, distance, jnp.inf), normal=jnp.where(seen, normal, 0.0))


def _approach(origin: Array, direction: Array, centre: Point) -> tuple[Array, Array]:
    """Return the distance to the point of the ray closest to `centre`, and that point relative to `centre`."""
    expect('one origin', origin, 3)
    expect('one direction', direction, 3)
    offset = origin - jnp.array(centre, jnp.float32)
    along = -jnp.sum(offset * direction)
    return along, offset + along * direction


def sphere(origin: Array, direction: Array, centre: Point, radius: float) -> Hit:
    """Intersect a ray with the sphere |x - centre| = radius.

    With q the ray's closest point to the centre, the entrance lies sqrt(radius^2 - |q|^2) before it.
    """
    along, closest = _approach(origin, direction, centre)
    square = radius**2 - jnp.sum(closest**2)
    half_chord = jnp.sqrt(jnp.maximum(square, 0.0))
    return _hit(square >= 0, along - half_chord, normalise(closest - half_chord * direction))


def turn(vector: Array, angle: float) -> Array:
    """Rotate a vector [3] about the z axis by `angle`, radians, anticlockwise seen from above."""
    c, s = math.cos(angle), math.sin(angle)
    return jnp.stack([c * vector[0] - s * vector[1], s * vector[0] + c * vector[1], vector[2]])


def box(origin: Array, direction: Array, centre: Point, half: Point, angle: float = 0.0) -> Hit:
    """Intersect a ray with the box of half edges `half`, rotated about the vertical by `angle` (radians).

    The ray is inside the box while it is between all three pairs of planes: from the last plane entered to the first
    one left (slab method).
    """
    along, closest = _approach(origin, direction, centre)
    point, heading = turn(closest, -angle), turn(direction, -angle)
    heading = jnp.where(jnp.abs(heading) > 1e-9, heading, 1e-9)
    reach = jnp.array(half, jnp.float32) / jnp.abs(heading)
    middle = -point / heading
    entered = middle - reach
    enter, leave = jnp.max(entered), jnp.min(middle + reach)
    face = jax.nn.one_hot(jnp.argmax(entered), 3)
    return _hit(enter <= leave, along + enter, turn(-face * jnp.sign(heading), angle))


def frustum(origin: Array, direction: Array, base: Point, height: float, radii: tuple[float, float]) -> Hit:
    """Intersect a ray with the upright solid between two discs: a cylinder (equal `radii`), a cone (upper one 0), a slab.

    `base` is the centre of the lower disc. With r(z) = r_0 + k z, the side is x^2 + y^2 = r(z)^2 for 0 <= z <= height,
    a quadratic equation in the distance.
    """
    along, point = _approach(origin, direction, base)
    slope = (radii[1] - radii[0]) / height
    crossings = [_cap(point, direction, z, radius) for z, radius in ((0.0, radii[0]), (height, radii[1]))]
    first = reduce(nearer, crossings + _side(point, direction, height, radii[0], slope))
    return _hit(jnp.isfinite(first.distance), along + first.distance, first.normal)


def _cap(point: Array, direction: Array, z: float, radius: float) -> Hit:
    """Intersect a ray with the horizontal disc at `z`, before or after `point`; the normal points against the ray."""
    rise = jnp.where(jnp.abs(direction[2]) > 1e-9, direction[2], 1e-9)
    distance = (z - point[2]) / rise
    crossing = point + distance * direction
    inside = jnp.sum(crossing[:2] ** 2) <= radius**2
    return Hit(distance=jnp.where(inside, distance, jnp.inf), normal=jnp.stack([0.0, 0.0, -jnp.sign(rise)]))


def _side(point: Array, direction: Array, height: float, radius: float, slope: float) -> list[Hit]:
    """Intersect a ray with the side of a frustum: two hits, before or after `point`.

    The roots of a d^2 + 2 b d + c are q / a and c / q with q = -(b + sign(b) sqrt(b^2 - a c)), which stays accurate where
    a vanishes: for rays along the axis of a cylinder or along the side of a cone.
    """
    here, change = radius + slope * point[2], slope * direction[2]
    a = jnp.sum(direction[:2] ** 2) - change**2
    b = jnp.sum(point[:2] * direction[:2]) - here * change
    c = jnp.sum(point[:2] ** 2) - here**2
    square = b**2 - a * c
    q = -(b + jnp.where(b < 0, -1.0, 1.0) * jnp.sqrt(jnp.maximum(square, 0.0)))
    crossings = []
    for top, bottom in ((q, a), (c, q)):
        distance = top / jnp.where(jnp.abs(bottom) > 1e-12, bottom, 1e-12)
        x, y, z = point + distance * direction
        on_side = (square >= 0) & (z >= 0) & (z <= height)
        normal = normalise(jnp.stack([x, y, -slope * (radius + slope * z)]))
        crossings.append(Hit(distance=jnp.where(on_side, distance, jnp.inf), normal=normal))
    return crossings


def in_sphere(point: Array, centre: Point, radius: float) -> Array:
    """Return whether a point [3] lies in the sphere that `sphere` intersects."""
    expect('one point', point, 3, lift='over_samples')
    return jnp.sum((point - jnp.array(centre, jnp.float32)) ** 2) <= radius**2


def in_box(point: Array, centre: Point, half: Point, angle: float = 0.0) -> Array:
    """Return whether a point [3] lies in the box that `box` intersects."""
    expect('one point', point, 3, lift='over_samples')
    local = turn(point - jnp.array(centre, jnp.float32), -angle)
    return jnp.all(jnp.abs(local) <= jnp.array(half, jnp.float32))


def in_frustum(point: Array, base: Point, height: float, radii: tuple[float, float]) -> Array:
    """Return whether a point [3] lies in the solid between two discs that `frustum` intersects."""
    expect('one point', point, 3, lift='over_samples')
    x, y, z = point - jnp.array(base, jnp.float32)
    radius = radii[0] + (radii[1] - radii[0]) * z / height
    return (z >= 0) & (z <= height) & (x**2 + y**2 <= radius**2)
