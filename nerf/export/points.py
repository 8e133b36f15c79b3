"""Point cloud of a trained scene: the points at the median distances of rendered views."""

import dataclasses
from collections.abc import Iterable

import jax
import numpy as np

from nerf import lifting
from nerf.data.poses import Frame
from nerf.errors import UserError
from nerf.export.grid import Box, corners
from nerf.ray.cameras import Camera, cast
from nerf.render.image import Picture, to_uint8

MIN_ACC = 0.9  # opacity below which a pixel shows no surface
MOST_OF_A_VIEW = 131072  # px; larger views are subsampled, at every second pixel or more
SEARCHES = 16  # bisection steps for the width of the cells
DENSEST = 1e-4  # width of the narrowest cells, as a share of the longest edge


@dataclasses.dataclass(frozen=True)
class PointOptions:
    """Options of a point cloud.

    Attributes:
        max_points: a larger cloud is thinned evenly to at most this number.
        bounds: x, y, z of the lower corner of a box and of its upper one, world, outside of which points are left out; None:
            `central_box`.
    """

    max_points: int = 500_000
    bounds: tuple[float, ...] | None = None


@dataclasses.dataclass(frozen=True)
class PointCloud:
    """Surface points with colours and normals, in world coordinates or in those of the data's file.

    Attributes:
        points: [n, 3], float32 (float64 where they were moved), world.
        colours: sRGB, [n, 3], uint8.
        normals: unit, towards the camera that saw the point, [n, 3], float32.
    """

    points: np.ndarray
    colours: np.ndarray
    normals: np.ndarray

    def moved(self, frame: Frame) -> 'PointCloud':
        """Return the points in another frame, as float64."""
        points, normals = frame.points(self.points), frame.directions(self.normals)
        return dataclasses.replace(self, points=points, normals=normals.astype(np.float32))


_viewdirs = jax.jit(lifting.over_rays(lambda camera, xy: cast(camera, xy).viewdir, in_axes=(None, 0)))


def surface_points(views: Iterable[tuple[Camera, Picture]], options: PointOptions) -> PointCloud:
    """Compute a point cloud from rendered views: the points at the median distance of their opaque pixels, thinned.

    The views are pairs of a camera and its maps by `nerf.render.image`.

    Raises:
        UserError: an invalid option, or no point found.
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
    """Compute points, colours in [0, 1] and normals at the median distances of one view's opaque pixels, float32 [k, 9]."""
    height, width = picture['acc'].shape
    rows, columns = np.divmod(np.arange(height * width), width)
    xy = np.stack([columns, rows], axis=1).astype(np.float32) + 0.5
    # View directions and distances are in world units, even if rays are cast into NDC.
    viewdirs = np.asarray(_viewdirs(camera, xy), np.float64).reshape(height, width, 3)
    position = np.asarray(camera.camera_to_world, np.float64)[:, 3]
    points = position + picture['distance_median'][..., None] * viewdirs
    solid = picture['acc'] > MIN_ACC
    maps = np.concatenate([points, picture['rgb'], view_normals(points, solid, viewdirs)], axis=2)
    step = int(np.ceil(np.sqrt(height * width / MOST_OF_A_VIEW)))
    return maps[::step, ::step][solid[::step, ::step]].astype(np.float32)


def view_normals(points: np.ndarray, solid: np.ndarray, viewdirs: np.ndarray) -> np.ndarray:
    """Compute unit normals [h, w, 3], towards the camera, of the surface through the points [h, w, 3] of neighbouring pixels.

    They use the nearer of the two neighbours along each axis, so that depth edges do not distort them; a point without solid
    neighbours along an axis gets the normal that faces the camera.
    """
    points = np.where(solid[..., None], points, np.nan)
    normals = np.cross(change(points, 0), change(points, 1))
    lengths = np.linalg.norm(normals, axis=2, keepdims=True)
    normals = np.where(lengths > 0, normals / np.where(lengths > 0, lengths, 1), -viewdirs)
    return np.where(np.sum(normals * viewdirs, axis=2, keepdims=True) > 0, -normals, normals)


def change(points: np.ndarray, axis: int) -> np.ndarray:
    """Compute forward differences of points [h, w, 3] along an axis, or backward ones where shorter; 0 without a neighbour."""
    steps = np.diff(points, axis=axis)
    after, before = (
        np.pad(steps, [sides if i == axis else (0, 0) for i in range(3)], constant_values=np.nan) for sides in ((0, 1), (1, 0))
    )
    squares = [np.nan_to_num(np.sum(each**2, axis=2, keepdims=True), nan=np.inf) for each in (after, before)]
    nearer = np.where(squares[0] <= squares[1], after, before)
    return np.nan_to_num(nearer, nan=0.0)


def central_box(points: np.ndarray) -> Box:
    """Compute the box of the middle 98 % of points [n, 3] along each axis, extended by half its size to each side."""
    lower, upper = np.percentile(points, [1, 99], axis=0)
    return lower - (upper - lower) / 2, upper + (upper - lower) / 2


def thin_points(columns: np.ndarray, most: int) -> np.ndarray:
    """Thin [n, 9], whose first three columns are points, to at most `most` rows.

    They are the means over the cells of a cubic grid, as fine as possible.
    """
    if len(columns) <= most:
        return columns
    lower = columns[:, :3].min(0)
    extent = max(float(np.ptp(columns[:, :3], axis=0).max()), 1e-30)
    # A cell twice as wide as the cloud contains all of it.
    fine, coarse = DENSEST, 2.0
    for _ in range(SEARCHES):
        share = np.sqrt(fine * coarse)
        fine, coarse = (fine, share) if len(np.unique(cells(columns, lower, share * extent))) <= most else (share, coarse)
    _, cell, counts = np.unique(cells(columns, lower, coarse * extent), return_inverse=True, return_counts=True)
    sums = [np.bincount(cell, column, len(counts)) for column in columns.T]
    return np.stack(sums, axis=1) / counts[:, None]


def cells(columns: np.ndarray, lower: np.ndarray, width: float) -> np.ndarray:
    """Compute the index of the cubic cell of this width that contains each row's point, int64 [n]."""
    index = ((columns[:, :3] - lower) / width).astype(np.int64)
    n = index.max() + 1
    return (index[:, 0] * n + index[:, 1]) * n + index[:, 2]
