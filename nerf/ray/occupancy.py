"""The part of ONE ray that may meet density, by an occupancy grid: its empty cells need not be rendered."""

import math
import typing

import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Bool, Float, UInt8

from nerf.ray.structs import Ray, expect, expect_one_ray


@typing.no_type_check
@struct.dataclass
class Occupancy:
    """Occupancy grid: a box of cells, each of which is empty or may have density; outside of the box all is empty.

    Attributes:
        lower: corner of the box, world.
        upper: the opposite corner, world.
        cells: 1 where there may be density, 0 where it is empty; along x, y and z.
    """

    lower: Float[Array, '3']
    upper: Float[Array, '3']
    cells: UInt8[Array, 'n n n']


def is_occupied(occupancy: Occupancy, point: Float[Array, '3']) -> Bool[Array, '']:
    """Return whether there may be density at a point; outside the box there is none.

    Raises:
        ValueError: if given a batch of grids or points.
    """
    expect('one occupancy grid', occupancy.cells, None, None, None)
    expect('one point', point, 3, lift='over_samples')
    return _look_up(occupancy, list(point))


def _look_up(occupancy: Occupancy, point: list[Float[Array, '*samples']]) -> Bool[Array, '*samples']:
    """Return the same for x, y and z of a point, or of each sample of a ray."""
    n = occupancy.cells.shape[0]
    is_inside, index = True, 0
    for axis, x in enumerate(point):
        position = (x - occupancy.lower[axis]) / (occupancy.upper[axis] - occupancy.lower[axis]) * n
        is_inside &= (position >= 0) & (position < n)
        # One index into one row is gathered much faster than three into a cube.
        index = index * n + jnp.clip(position, 0, n - 1).astype(jnp.int32)
    return is_inside & (occupancy.cells.reshape(-1)[index] > 0)


def intersect_box(lower: Float[Array, '3'], upper: Float[Array, '3'], ray: Ray) -> tuple[Float[Array, ''], Float[Array, '']]:
    """Intersect the ray with a box: the t at which it enters and leaves, within [near, far].

    A ray that misses the box leaves before it enters.

    Raises:
        ValueError: if given a batch of rays or boxes.
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
    """Find the tightest interval of the ray around all occupied cells that it passes: near and far in t, and if there are any.

    The ray's part inside the box is cut into sqrt(3) n equal steps, each at most one cell long, and the cells at their middles
    are looked up; the interval reaches to the nearest middles that are empty, and never beyond the ray's own [near, far], which
    a ray without occupied cells keeps. The corner of a cell may be missed; of a grid dilated by one cell, nothing is missed
    that was occupied before.

    Raises:
        ValueError: if given a batch of rays or grids.
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
