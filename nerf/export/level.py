"""Choice of the iso-density: the density that rays first exceed nearest to their median distance.

The density at the median distance itself would be too high: where the scene is slightly thinner there would be holes, and rays
have passed some way through soft surfaces by then.
"""

import numpy as np

from nerf.errors import UserError
from nerf.export.grid import Box
from nerf.export.queries import Queries
from nerf.ray.cameras import Camera
from nerf.ray.structs import Ray

RAYS = 2048  # that are cast; many hit nothing
LOOKS = 256  # samples along each of them
LEVELS = 96  # candidates: from 0.001 to 10 times the median of the densities at median distances
# Cost of a ray that crosses the surface far from its median distance, or never: a share of the box's longest edge.
MISSED = 1 / 12
# Levels whose cost is at most this many times the least count as equally good.
AS_GOOD = 1.05


def find_level(queries: Queries, cameras: Camera, box: Box, width: float) -> float:
    """Find the iso-density, 1 / world, whose surface in the box the training rays first cross nearest to their median distance.

    For each level, the distance between a ray's first crossing of this density and its median distance, at most a share of the
    box, is averaged over rays of the (stacked) cameras. The result is the geometric mean of the levels with nearly the least
    average.

    Raises:
        UserError: no ray stops in the box.
    """
    random = np.random.default_rng(0)
    image = random.integers(len(cameras.width), size=RAYS)
    size = np.stack([cameras.width[image], cameras.height[image]], axis=1)
    ray, stop, acc = queries.median_hit(cameras, image, random.uniform(size=(RAYS, 2)) * size)
    t = looks(ray, box)
    points = ray.origin + stop[:, None] * ray.direction
    stops = (acc > 0.5) & ((points > box[0]) & (points < box[1])).all(axis=1)
    if not stops.any():
        raise UserError('no ray of the training views stops in the box: train longer, or choose other --bounds or a --level')
    t, stop, origin, direction = t[stops], stop[stops], ray.origin[stops], ray.direction[stops]
    along = (origin[:, None] + t[:, :, None] * direction[:, None]).reshape(-1, 3)
    density = queries.density(along, width).reshape(t.shape)
    usual = np.median(queries.density(points[stops], width))
    levels = usual * np.geomspace(1e-3, 10, LEVELS)
    missed = MISSED * (box[1] - box[0]).max()
    away = [np.abs(first_hit(density, t, level) - stop) * np.linalg.norm(direction, axis=1) for level in levels]
    cost = np.minimum(away, missed).mean(axis=1)
    return float(np.exp(np.log(levels[cost <= AS_GOOD * cost.min()]).mean()))


def looks(ray: Ray, box: Box) -> np.ndarray:
    """Compute evenly spaced t [k, n] of rays (stacked) from where they enter a box to where they leave it."""
    direction = np.where(np.abs(ray.direction) > 1e-12, ray.direction, 1e-12)
    one, other = ((corner - ray.origin) / direction for corner in box)
    enter = np.maximum(np.minimum(one, other).max(axis=1), ray.near)
    leave = np.minimum(np.maximum(one, other).min(axis=1), ray.far)
    return enter[:, None] + np.linspace(0, 1, LOOKS) * np.maximum(leave - enter, 0)[:, None]


def first_hit(density: np.ndarray, t: np.ndarray, level: float) -> np.ndarray:
    """Find the t [k] at which density [k, n] along rays, at t [k, n], first exceeds a level.

    It is the middle of the step in which this happens, and infinite if it never does.
    """
    meets = density > level
    first = meets.argmax(axis=1)
    rows = np.arange(len(t))
    middle = (t[rows, first] + t[rows, np.maximum(first - 1, 0)]) / 2
    return np.where(meets.any(axis=1), middle, np.inf)
