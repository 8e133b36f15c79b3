"""Placement of a scene by its type: the frame of its cameras, the near and far bounds of rays, and NDC."""

import dataclasses
import logging
from collections.abc import Callable

import numpy as np

from nerf.data.options import DataOptions
from nerf.data.poses import (
    ROUNDING,
    Frame,
    focus_point,
    forward_facing_frame,
    object_frame,
    shift_from_afar,
    unbounded_frame,
)
from nerf.data.scene import Scene
from nerf.errors import UserError
from nerf.ray.cameras import Camera
from nerf.scene_types import scene_type_of

LOG = logging.getLogger('nerf')
ENDLESS = 1e6  # far bounds from here on count as infinite
# Depths of an image's points outside these percentiles are taken for outliers.
PERCENTILES = (0.1, 99.9)
FEW = 5  # percent of images
WIDEST = 85  # degrees from -z: in NDC, rays at 90 are infinitely long


def place_scene(scene: Scene, options: DataOptions) -> Scene:
    """Transform a loaded scene to the frame of its type by `place`; unchanged for types with one object (`has_subject`).

    Used for formats of rendered objects, which have a frame, near and far already; near and far are the depth bounds.

    Raises:
        UserError: as `place`.
    """
    if scene_type_of(options.scene_type).has_subject:
        return scene
    cameras = scene.cameras
    bounds = np.stack([cameras.near, cameras.far], axis=1).astype(np.float64)
    cameras, points, frame = place(cameras, cameras.camera_to_world.astype(np.float64), scene.points, bounds, options)
    return dataclasses.replace(scene, cameras=cameras, points=points, frame=frame.after(scene.frame))


def place(
    cameras: Camera, poses: np.ndarray, points: np.ndarray, bounds: np.ndarray | None, options: DataOptions
) -> tuple[Camera, np.ndarray, Frame]:
    """Transform cameras (stacked) and points [n, 3] to the frame of `options.scene_type`, and set near, far and NDC.

    The third result is that frame: the similarity from the file's world.

    Args:
        cameras: their poses, near and far are ignored and replaced.
        poses: camera_to_world, [k, 3, 4], float64, in the file's world.
        points: [n, 3], surface points in the file's world; n may be 0.
        bounds: [k, 2], nearest and farthest depth in each image, file's units; None: from the points, else from the camera
            positions. The extremes are used; for contracted space, the nearest of all but the FEW nearest.

    Raises:
        UserError: an unknown scene type, or one that does not fit these cameras.
    """
    scene_type = scene_type_of(options.scene_type)
    if bounds is None:
        bounds = depth_bounds(cameras, poses, points)
    nearest, farthest = bounds[:, 0].min(), bounds[:, 1].max()
    if scene_type.contract:  # some points before some cameras are wrong, and the space before them is no matter
        nearest = np.percentile(bounds[:, 0], FEW)
    frame = choose_frame(poses, nearest, options)
    poses, points = frame.poses(poses), frame.points(points)
    near = first_set(options.near, scene_type.near, scene_type.margins[0] * nearest * frame.scale)
    far = first_set(options.far, scene_type.far, scene_type.margins[1] * farthest * frame.scale)
    ndc = ndc_scales(cameras, poses) if scene_type.is_ndc else None
    count = len(poses)
    with np.errstate(over='ignore'):  # overflow to infinity is refused by `check_camera`
        cameras = cameras.replace(
            camera_to_world=poses.astype(np.float32),
            near=np.full(count, near, np.float32),
            far=np.full(count, far, np.float32),
            ndc=ndc,
        )
        points = points.astype(np.float32)
    return cameras, points[np.isfinite(points).all(axis=1)], frame


def choose_frame(poses: np.ndarray, nearest: float, options: DataOptions) -> Frame:
    """Return the frame of the scene type, or the file's without `normalise`; `nearest` is the nearest depth, file's units."""
    return FRAMES[scene_type_of(options.scene_type).frame](poses, nearest) if options.normalise else frame_of_file(poses)


def frame_of_file(poses: np.ndarray) -> Frame:
    """Return the file's own frame for poses [k, 3, 4], float64; moved, which is logged, if they are far from the origin."""
    frame = shift_from_afar(poses)
    if frame.origin.any():
        LOG.warning(
            'cameras are at %s, more than 10,000 times their spread from the origin: moved to it, as float32 would round them '
            "there (render.py --coordinates=file writes in the file's own coordinates)",
            ', '.join(f'{each:.0f}' for each in frame.origin),
        )
    return frame


def forward_facing(poses: np.ndarray, nearest: float) -> Frame:
    """Return the frame whose mean camera looks along -z, with the whole scene beyond the near plane at z = -1.

    Raises:
        UserError: a nearest depth that is not positive.
    """
    if nearest <= ROUNDING[0]:
        raise UserError(
            f'scene_type forward_facing: a nearest depth of {nearest:.3g} found, expected a positive one; use scene_type '
            'unbounded'
        )
    return forward_facing_frame(poses, nearest)


# Functions of (poses, nearest depth), keyed by `SceneType.frame`.
FRAMES: dict[str, Callable[[np.ndarray, float], Frame]] = {
    'object': lambda poses, nearest: object_frame(poses),
    'forward_facing': forward_facing,
    'unbounded': lambda poses, nearest: unbounded_frame(poses),
}


def first_set(*values: float | None) -> float:
    """Return the first value that is not None."""
    return next(value for value in values if value is not None)


def depth_bounds(cameras: Camera, poses: np.ndarray, points: np.ndarray) -> np.ndarray:
    """Compute the nearest and farthest depth in each camera's image, [k, 2], file's units.

    They are percentiles of the depths of the points in the image. With fewer than 10 points they are d_min / 2 and
    d_max + d_min / 2 of all cameras' distances d to the focus point, which gives the bounds 2 and 6 of the Blender scenes.
    """
    distance = np.linalg.norm(poses[:, :, 3] - focus_point(poses), axis=1)
    otherwise = 0.5 * distance.min(), distance.max() + 0.5 * distance.min()
    bounds = np.tile(np.array(otherwise), (len(poses), 1))
    for i, pose in enumerate(poses):
        local = (points - pose[:, 3]) @ pose[:, :3] * [1, -1, -1]
        seen = local[local[:, 2] > 0]
        with np.errstate(over='ignore', invalid='ignore'):  # points may lie anywhere, also too far away to be projected
            xy = seen @ np.asarray(cameras.camera_to_pixel[i], np.float64).T
            xy = xy[:, :2] / xy[:, 2:]
        inside = np.all((xy >= 0) & (xy <= [cameras.width[i], cameras.height[i]]), axis=1)
        if inside.sum() >= 10:
            bounds[i] = np.percentile(seen[inside, 2], PERCENTILES)
    return bounds


def ndc_scales(cameras: Camera, poses: np.ndarray) -> np.ndarray:
    """Compute the scale of NDC, (2 f_x / width, 2 f_y / height), [k, 2]: the median over the cameras, the same for all.

    Raises:
        UserError: a camera has rays more than 85 degrees from forward (-z).
    """
    lenses = np.asarray(cameras.camera_to_pixel, np.float64)
    sizes = np.stack([cameras.width, cameras.height], axis=1)
    # The angle is largest at a corner: a ray's forward component is linear in its pixel.
    angles = np.max([_off_forward(poses, lenses, sizes * corner) for corner in np.ndindex(2, 2)], axis=0)
    if angles.max() > WIDEST:
        i = int(np.argmax(angles))
        raise UserError(
            f'scene_type forward_facing: camera {i} has rays {angles[i]:.0f} degrees off -z (with data.normalise, the way that '
            f'cameras look on average), expected {WIDEST} at most; use scene_type unbounded or object'
        )
    scale = np.median(2 * lenses[:, [0, 1], [0, 1]] / sizes, axis=0)
    return np.tile(scale, (len(poses), 1)).astype(np.float32)


def _off_forward(poses: np.ndarray, lenses: np.ndarray, xy: np.ndarray) -> np.ndarray:
    """Compute the angle between -z and the ray of one pixel [k, 2] of each camera, without distortion, degrees, [k]."""
    at = np.linalg.solve(lenses, np.append(xy, np.ones((len(xy), 1)), axis=1)[:, :, None])
    rays = (poses[:, :, :3] @ (at * [[1], [-1], [-1]]))[:, :, 0]
    return np.degrees(np.arccos(np.clip(-rays[:, 2] / np.linalg.norm(rays, axis=1), -1, 1)))
