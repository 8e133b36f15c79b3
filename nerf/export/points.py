"""A trained scene as a cloud of points: where the rays of rendered views stop."""

import dataclasses
from collections.abc import Iterable

import jax
import numpy as np

from nerf import lifting
from nerf.errors import UserError
from nerf.export.grid import Box, corners
from nerf.ray.cameras import Camera, cast
from nerf.render.image import Picture, to_uint8

MIN_ACC = 0.9  # what is less opaque is no surface
MOST_OF_A_VIEW = 131072  # px; larger views are taken at every second pixel, or every third
SEARCHES = 16  # halvings, when the width of the cells is looked for
DENSEST = 1e-4  # narrowest cells, as a share of the longest edge


@dataclasses.dataclass(frozen=True)
class PointOptions:
    """How a cloud is made.

    Attributes:
        max_points: more are thinned evenly.
        bounds: x, y, z of the lower corner of a box and of its upper one, world, outside of which points are left out; None:
            half as large again, to each side, as the box that holds the middle 98 % of the points along each axis.
    """

    max_points: int = 500_000
    bounds: tuple[float, ...] | None = None


@dataclasses.dataclass(frozen=True)
class PointCloud:
    """Points of surfaces.

    Attributes:
        points: [n, 3], float32, world.
        colours: sRGB, [n, 3], uint8.
        normals: unit, towards who saw the point, [n, 3], float32.
    """

    points: np.ndarray
    colours: np.ndarray
    normals: np.ndarray


_viewdirs = jax.jit(lifting.over_rays(lambda camera, xy: cast(camera, xy).viewdir, in_axes=(None, 0)))


def surface_points(views: Iterable[tuple[Camera, Picture]], options: PointOptions) -> PointCloud:
    """The points at which rays of these views (cameras, and what `nerf.render.image` made of them) are half stopped, thinned.

    Raises:
        UserError: an option that cannot be, or no point found.
    """
    if options.max_points < 1:
        raise UserError(f'--max_points={options.max_points}: expected at least 1')
    box = None if options.bounds is None else corners(options.bounds)
    clouds = [points_of_view(camera, picture) for camera, picture in views]
    columns = np.concatenate(clouds) if clouds else np.zeros((0, 9), np.float32)
    if len(columns):
        lower, upper = central_box(columns[:, :3]) if box is None else box
        columns = columns[((columns[:, :3] >= lower) & (columns[:, :3] <= upper)).all(axis=1)]
    if not len(columns):
        raise UserError('no ray of the views stops in the box: train longer, or choose other --bounds')
    points, colours, normals = np.split(thin_points(columns, options.max_points), 3, axis=1)
    normals = normals / np.maximum(np.linalg.norm(normals, axis=1, keepdims=True), 1e-30)
    return PointCloud(points.astype(np.float32), to_uint8(colours), normals.astype(np.float32))


def points_of_view(camera: Camera, picture: Picture) -> np.ndarray:
    """Where one view's rays are half stopped: points, colours in [0, 1] and normals, float32 [k, 9]; only what is opaque."""
    height, width = picture['acc'].shape
    rows, columns = np.divmod(np.arange(height * width), width)
    xy = np.stack([columns, rows], axis=1).astype(np.float32) + 0.5
    # These and the distances are the world's also where rays are cast into NDC.
    viewdirs = np.asarray(_viewdirs(camera, xy), np.float64).reshape(height, width, 3)
    position = np.asarray(camera.camera_to_world, np.float64)[:, 3]
    points = position + picture['distance_median'][..., None] * viewdirs
    solid = picture['acc'] > MIN_ACC
    maps = np.concatenate([points, picture['rgb'], view_normals(points, solid, viewdirs)], axis=2)
    step = int(np.ceil(np.sqrt(height * width / MOST_OF_A_VIEW)))
    return maps[::step, ::step][solid[::step, ::step]].astype(np.float32)


def view_normals(points: np.ndarray, solid: np.ndarray, viewdirs: np.ndarray) -> np.ndarray:
    """Unit normals [h, w, 3], towards the camera, of the surface through the points [h, w, 3] of neighbouring pixels.

    They are across the nearer neighbour of either side, so that an edge spoils none; what has no solid neighbour faces the
    camera.
    """
    points = np.where(solid[..., None], points, np.nan)
    normals = np.cross(change(points, 0), change(points, 1))
    lengths = np.linalg.norm(normals, axis=2, keepdims=True)
    normals = np.where(lengths > 0, normals / np.where(lengths > 0, lengths, 1), -viewdirs)
    return np.where(np.sum(normals * viewdirs, axis=2, keepdims=True) > 0, -normals, normals)


def change(points: np.ndarray, axis: int) -> np.ndarray:
    """From each of the points [h, w, 3] to the next along an axis, or from the one before if that is nearer; 0 without both."""
    steps = np.diff(points, axis=axis)
    after, before = (
        np.pad(steps, [sides if i == axis else (0, 0) for i in range(3)], constant_values=np.nan) for sides in ((0, 1), (1, 0))
    )
    squares = [np.nan_to_num(np.sum(each**2, axis=2, keepdims=True), nan=np.inf) for each in (after, before)]
    nearer = np.where(squares[0] <= squares[1], after, before)
    return np.nan_to_num(nearer, nan=0.0)


def central_box(points: np.ndarray) -> Box:
    """Half as large again, to each side, as the box that holds the middle 98 % of points [n, 3] along each axis."""
    lower, upper = np.percentile(points, [1, 99], axis=0)
    return lower - (upper - lower) / 2, upper + (upper - lower) / 2


def thin_points(columns: np.ndarray, most: int) -> np.ndarray:
    """At most so many rows of [n, 9], whose first three are points: the means of the narrowest cubes that are few enough."""
    if len(columns) <= most:
        return columns
    lower = columns[:, :3].min(0)
    extent = max(float(np.ptp(columns[:, :3], axis=0).max()), 1e-30)
    # Cells twice as wide as the cloud hold all of it.
    fine, coarse = DENSEST, 2.0
    for _ in range(SEARCHES):
        share = np.sqrt(fine * coarse)
        fine, coarse = (fine, share) if len(np.unique(cells(columns, lower, share * extent))) <= most else (share, coarse)
    _, cell, counts = np.unique(cells(columns, lower, coarse * extent), return_inverse=True, return_counts=True)
    sums = [np.bincount(cell, column, len(counts)) for column in columns.T]
    return np.stack(sums, axis=1) / counts[:, None]


def cells(columns: np.ndarray, lower: np.ndarray, width: float) -> np.ndarray:
    """The number of the cube of this width in which each row's point lies, int64 [n]."""
    index = ((columns[:, :3] - lower) / width).astype(np.int64)
    n = index.max() + 1
    return (index[:, 0] * n + index[:, 1]) * n + index[:, 2]
