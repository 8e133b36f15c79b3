"""The interval of ONE ray that may be occupied, by an occupancy grid."""

import math
import typing

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float

from nerf.ray.structs import Ray, expect, expect_one_ray


@typing.no_type_check
@struct.dataclass
class Occupancy:
    """An occupancy grid: a box of cells; all that lies outside of it is empty.

    Attributes:
        lower: corner of the box, [3], world.
        upper: the opposite corner, [3], world.
        cells: [n, n, n], uint8, 1 where a cell may be occupied; along x, y and z.
    """

    lower: Array
    upper: Array
    cells: Array


def is_occupied(occupancy: Occupancy, point: Float[Array, '3']) -> Bool[Array, '']:
    """Return whether a point may be occupied; all that lies outside the box is empty.

    Raises:
        ValueError: if given a batch of points.
    """
    expect('one occupancy grid', occupancy.cells, None, None, None)
    expect('one point', point, 3, lift='over_samples')
    return _look_up(occupancy, list(point))


def _look_up(occupancy: Occupancy, point: list[Array]) -> Array:
    """The same for x, y and z, each [] or each [n], -> [] or [n]."""
    n = occupancy.cells.shape[0]
    is_inside, index = True, 0
    for axis, x in enumerate(point):
        position = (x - occupancy.lower[axis]) / (occupancy.upper[axis] - occupancy.lower[axis]) * n
        is_inside &= (position >= 0) & (position < n)
        # One index into one row is gathered much faster than three into a cube.
        index = index * n + jnp.clip(position, 0, n - 1).astype(jnp.int32)
    return is_inside & (occupancy.cells.reshape(-1)[index] > 0)


def intersect_box(lower: Float[Array, '3'], upper: Float[Array, '3'], ray: Ray) -> tuple[Float[Array, ''], Float[Array, '']]:
    """Compute t at which the ray enters a box and leaves it, in [near, far]; it misses if it leaves before it enters.

    Raises:
        ValueError: if given a batch of rays.
    """
    expect_one_ray(ray)
    expect('one corner', lower, 3)
    # A direction of exactly 0 never leaves its slab, or never enters it: a very small one does the same.
    direction = jnp.where(jnp.abs(ray.direction) > 1e-12, ray.direction, 1e-12)
    one, other = (lower - ray.origin) / direction, (upper - ray.origin) / direction
    return (
        jnp.maximum(jnp.max(jnp.minimum(one, other)), ray.near),
        jnp.minimum(jnp.min(jnp.maximum(one, other)), ray.far),
    )


def occupied_interval(occupancy: Occupancy, ray: Ray) -> tuple[Float[Array, ''], Float[Array, ''], Bool[Array, '']]:
    """Find the tightest interval of the ray around all occupied cells on it: near and far in t, and whether there is any.

    The ray's part within the box is cut into sqrt(3) n equal steps, each at most one cell long, whose middles are looked up;
    the interval reaches to the nearest middles that are empty, and never beyond the ray's own [near, far]. The corner of a
    lone cell may be missed, but never a cell around which the grid is dilated by one. A ray without occupied cells keeps its
    own interval.

    Raises:
        ValueError: if given a batch of rays.
    """
    entry, exit = intersect_box(occupancy.lower, occupancy.upper, ray)
    num = math.ceil(math.sqrt(3) * occupancy.cells.shape[0])
    step = (exit - entry) / num
    middles = entry + (jnp.arange(num) + 0.5) * step
    hits = _look_up(occupancy, [ray.origin[i] + middles * ray.direction[i] for i in range(3)]) & (exit > entry)
    meets = jnp.any(hits)
    first, last = jnp.argmax(hits), num - 1 - jnp.argmax(hits[::-1])
    near = jnp.where(meets, jnp.maximum(entry + (first - 0.5) * step, ray.near), ray.near)
    far = jnp.where(meets, jnp.minimum(entry + (last + 1.5) * step, ray.far), ray.far)
    return near, far, meets
