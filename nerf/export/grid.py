"""Grid of cubes over a box of space: the box, the density at the cubes' corners, and the filling of hollows."""

from types import ModuleType

import numpy as np

from nerf.data.poses import focus_point
from nerf.errors import UserError
from nerf.export.queries import Queries
from nerf.ray.cameras import Camera
from nerf.ray.occupancy import Occupancy

# In NDC, z' = 1 is at infinity; beyond this value, points are more than 40 times as far away as the near plane.
FARTHEST = 0.95
# Separate pieces with less than this share of the largest one's cells are floaters, which would widen the box.
SPECK = 0.001
NEARLY = 1e-3  # of a cell: rounding errors

Box = tuple[np.ndarray, np.ndarray]


def corners(bounds: tuple[float, ...]) -> Box:
    """Return the lower and the upper corner [3] of bounds x0, y0, z0, x1, y1, z1.

    Raises:
        UserError: the bounds are not a box.
    """
    box = np.array(bounds, np.float64)
    if box.shape != (6,) or not np.isfinite(box).all() or not (box[:3] < box[3:]).all():
        found = ','.join(f'{each:g}' for each in bounds)
        raise UserError(f'--bounds={found}: expected x0,y0,z0,x1,y1,z1 with x0 < x1, y0 < y1, z0 < z1')
    return box[:3], box[3:]


def default_box(measure: ModuleType, cameras: Camera, occupancy: Occupancy | None) -> Box:
    """Compute the box around all occupied cells except specks; without an occupancy grid, 1 to all sides of the focus point.

    Raises:
        UserError: no cell is occupied.
    """
    if occupancy is None:
        centre = focus_point(np.asarray(cameras.camera_to_world, np.float64))
        return centre - 1, centre + 1
    pieces = measure.label(occupancy.cells > 0, connectivity=3)
    sizes = np.bincount(pieces.ravel())
    sizes[0] = 0
    if not sizes.any():
        raise UserError('the trained scene is empty: no density anywhere that its training views see; train longer')
    where = np.argwhere((sizes > SPECK * sizes.max())[pieces])
    lower = occupancy.lower.astype(np.float64)
    cell = (occupancy.upper - lower) / occupancy.cells.shape[0]
    upper = lower + (where.max(0) + 1) * cell
    if cameras.ndc is not None:
        upper[2] = min(upper[2], FARTHEST)
    return lower + where.min(0) * cell, upper


def is_inside(box: Box, points: np.ndarray, width: float) -> np.ndarray:
    """Return whether each of `points` [n, 3] lies in a box, up to a rounding error of cells of this width, bool [n]."""
    return ((points >= box[0] - NEARLY * width) & (points <= box[1] + NEARLY * width)).all(axis=1)


def density_grid(queries: Queries, box: Box, width: float, occupancy: Occupancy | None) -> np.ndarray:
    """Compute density at the corners of a box's cubes, with a layer of zeros around it, float32 [x + 2, y + 2, z + 2].

    It is evaluated only in cells of the occupancy grid that may be occupied, and 0 elsewhere, as outside of the box.
    """
    axes = [np.arange(np.ceil((high - low) / width - NEARLY) + 1) * width + low for low, high in zip(*box, strict=True)]
    mask = np.ones([len(axis) for axis in axes], bool) if occupancy is None else occupied(occupancy, axes)
    where = np.nonzero(mask)
    density = np.zeros([len(axis) + 2 for axis in axes], np.float32)
    if len(where[0]):
        points = np.stack([axis[i].astype(np.float32) for axis, i in zip(axes, where, strict=True)], axis=1)
        density[1:-1, 1:-1, 1:-1][where] = queries.density(points, width) * is_inside(box, points, width)
    return density


def occupied(occupancy: Occupancy, axes: list[np.ndarray]) -> np.ndarray:
    """Return whether each point of a grid, given its x, y and z, lies in an occupied cell, bool [x, y, z]."""
    n = occupancy.cells.shape[0]
    index, inside = [], []
    for i, axis in enumerate(axes):
        place = (axis - occupancy.lower[i]) / (occupancy.upper[i] - occupancy.lower[i]) * n
        inside.append((place >= 0) & (place <= n))
        index.append(np.clip(place, 0, n - 1).astype(int))
    return (occupancy.cells[np.ix_(*index)] > 0) & inside[0][:, None, None] & inside[1][:, None] & inside[2]


def fill_hollows(measure: ModuleType, is_solid: np.ndarray, cameras: np.ndarray) -> np.ndarray:
    """Fill hollows that are enclosed by solid cells, bool [x, y, z], empty at the border: no camera sees into them.

    `cameras` [k, 3] are positions in cells: a hollow with a camera in it stays empty.
    """
    hollows = measure.label(~is_solid, connectivity=1)
    at = np.rint(cameras[((cameras > 0) & (cameras < np.array(is_solid.shape) - 1)).all(axis=1)]).astype(int)
    is_open = np.zeros(hollows.max() + 1, bool)
    is_open[[hollows[0, 0, 0], *hollows[tuple(at.T)]]] = True
    is_open[0] = False
    return ~is_open[hollows]
