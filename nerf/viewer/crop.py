"""Crop box of the viewer: the occupancy grid that cuts pictures to it, and the flag by which exports obey it."""

import itertools
import math
from typing import NamedTuple

import numpy as np

from nerf.ray.occupancy import Occupancy

CELLS = 128  # per axis; pictures are cut within half of a cell or so

Bounds = tuple[float, ...]  # x, y, z of the lower corner and of the upper one, world


class Limits(NamedTuple):
    """Largest box that a page offers: its bounds, and the step of their numbers."""

    bounds: Bounds
    step: float


def crop_limits(centre: np.ndarray, half: float) -> Limits:
    """Return limits that reach `half`, world, to all sides of the centre, in round numbers of about three digits."""
    exponent = math.floor(math.log10(half)) - 2
    step = 10.0**exponent
    steps = *np.floor((centre - half) / step), *np.ceil((centre + half) / step)
    return Limits(tuple(round(float(each) * step, max(0, -exponent)) for each in steps), step)


def cropped(bounds: Bounds, occupancy: Occupancy | None) -> Occupancy:
    """Return a grid of the occupied space within bounds; without an `occupancy`, all within them may be occupied."""
    lower, upper = np.array(bounds, np.float32).reshape(2, 3)
    cells = np.ones((CELLS,) * 3, np.uint8)
    if occupancy is None:
        return Occupancy(lower, upper, cells)
    old_lower, old_upper = np.asarray(occupancy.lower), np.asarray(occupancy.upper)
    both = np.maximum(lower, old_lower), np.minimum(upper, old_upper)
    if not (both[0] < both[1]).all():
        return Occupancy(lower, upper, 0 * cells)
    n = occupancy.cells.shape[0]
    edges = (np.linspace(*both, CELLS + 1) - old_lower) / (old_upper - old_lower) * n  # [CELLS + 1, 3], in old cells
    # A cell is occupied if one of its corners is in an occupied old one, of which it is at most as large.
    ends = [np.clip(each, 0, n - 1).astype(int).T for each in (edges[:-1], edges[1:])]
    corners = [np.ix_(*(ends[end][axis] for axis, end in enumerate(which))) for which in itertools.product((0, 1), repeat=3)]
    return Occupancy(*both, np.max([occupancy.cells[each] for each in corners], axis=0))


def flag_of(bounds: Bounds) -> str:
    """Return the flag of `render.py` that has meshes and points obey the box."""
    return f'--bounds={",".join(f"{each:g}" for each in bounds)}'
