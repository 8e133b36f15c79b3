"""Analytic camera paths: turntable and ellipse around the focus point, and LLFF's spiral in front of it.

All are computed from the training cameras alone, return to their start and look at one point.
"""

import math
from typing import NamedTuple

import numpy as np

from nerf.data.poses import NEAREST, axes_by, focus_point, unit, up_direction
from nerf.errors import UserError
from nerf.paths.cameras import pinholes
from nerf.ray.cameras import Camera

NUM_FRAMES = 120
SURROUNDED = math.radians(200)  # cameras that cover a smaller arc around their subject leave its back unseen
COVERED = 0.95  # share of the cameras that lie on the covered arc
UPRIGHT = math.cos(math.radians(3))  # an up direction within 3 degrees of the z axis is replaced by the z axis
ALIKE = 0.8  # least length of the mean of unit vectors that share a direction
# LLFF's focus depth: a weighted mean of disparities, a quarter for the nearest depth and the rest for the farthest.
CLOSE, BEYOND, FAR_SHARE = 0.9, 5.0, 0.75


def look_at(position: np.ndarray, target: np.ndarray, up: np.ndarray) -> np.ndarray:
    """Return camera_to_world [3, 4] of a camera at `position` that looks at `target` (along its -z), all [3]."""
    backward = position - target
    axes = axes_by(backward / np.linalg.norm(backward), up)
    return np.concatenate([axes.T, position[:, None]], axis=1)


def scene_focus(cameras: Camera) -> np.ndarray | None:
    """Compute the focus point [3] that stacked cameras look at; None if they have none in common.

    It is the point nearest to all optical axes, if more than half of the cameras have it ahead of them; else the point at
    `focus_depth` on their mean axis, if they share a direction. Forward-facing cameras always use the mean axis (LLFF's
    recipe), as their nearly parallel axes have no well-defined intersection.
    """
    poses = np.asarray(cameras.camera_to_world, np.float64)
    if cameras.ndc is None:
        focus = focus_point(poses)
        away = poses[:, :, 3] - focus
        depth = np.einsum('ki,ki->k', away, poses[:, :, 2])
        if np.mean((depth > 0.5 * np.linalg.norm(away, axis=1)) & (depth > 1e-6)) > 0.5:
            return focus
        if np.linalg.norm(poses[:, :, 2].mean(0)) < ALIKE:
            return None
    backward = poses[:, :, 2].mean(0)
    return poses[:, :, 3].mean(0) - unit(backward, backward) * focus_depth(cameras)


def focus_depth(cameras: Camera) -> float:
    """Compute the focus depth z [] of stacked cameras: 1 / z = 0.25 / (0.9 near) + 0.75 / (5 far), world (LLFF's recipe).

    In forward-facing scenes, near is 4/3 and far is infinite.
    """
    near, far = (max(float(np.min(cameras.near)), 1e-3), float(np.max(cameras.far)))
    if cameras.ndc is not None:
        near, far = NEAREST, np.inf
    return 1 / ((1 - FAR_SHARE) / (CLOSE * near) + FAR_SHARE / (BEYOND * far))


class OrbitFrame(NamedTuple):
    """Arrangement of cameras around their focus point.

    Attributes:
        focus: the focus point, [3], world.
        axes: rows are two horizontal axes and up, [3, 3], world.
        offsets: of the cameras from the focus, along these axes, [k, 3], world.
    """

    focus: np.ndarray
    axes: np.ndarray
    offsets: np.ndarray

    def poses(self, offsets: np.ndarray) -> np.ndarray:
        """Return camera_to_world [n, 3, 4] of upright cameras at these offsets [n, 3] that look at the focus point."""
        return np.stack([look_at(self.focus + offset @ self.axes, self.focus, self.axes[2]) for offset in offsets])


def orbit_frame(cameras: Camera) -> OrbitFrame:
    """Compute the arrangement of stacked cameras around their focus point.

    Raises:
        UserError: the cameras have no common focus point.
    """
    focus = scene_focus(cameras)
    if focus is None:
        raise UserError('the training cameras look at nothing in common to orbit around; use the path train or keyframes')
    poses = np.asarray(cameras.camera_to_world, np.float64)
    up = up_direction(poses)
    up = np.array([0.0, 0.0, 1.0]) if up[2] > UPRIGHT else up
    # The horizontal axis nearest to x, or to y if x is nearly up.
    toward = np.eye(3)[0] if abs(up[0]) < 0.9 else np.eye(3)[1]
    level = unit(toward - up * (up @ toward), toward)
    axes = np.stack([level, np.cross(up, level), up])
    return OrbitFrame(focus, axes, (poses[:, :, 3] - focus) @ axes.T)


def covered_arc(offsets: np.ndarray) -> tuple[float, float]:
    """Compute middle and length of the shortest arc around the third axis that has 95 % of the offsets [k, 3], radians.

    Offsets nearly along that axis are left out, as their azimuth means little.
    """
    flat = np.linalg.norm(offsets[:, :2], axis=1)
    beside = offsets[flat > 0.2 * np.linalg.norm(offsets, axis=1)]
    beside = beside if len(beside) else offsets
    angles = np.sort(np.arctan2(beside[:, 1], beside[:, 0]))
    count, held = len(angles), math.ceil(COVERED * len(angles))
    ends = np.concatenate([angles, angles + 2 * np.pi])[held - 1 : held - 1 + count]
    first = np.argmin(ends - angles)
    return float(angles[first] + ends[first]) / 2, float(ends[first] - angles[first])


def spherical(cameras: Camera, num_frames: int = NUM_FRAMES, elevation: float | None = None) -> Camera:
    """Compute a turntable path: one turn around the focus point at the cameras' mean distance.

    `elevation` is in degrees; None: the cameras' median. If the cameras cover less than 200 degrees, the path swings from one
    end of the covered arc to the other and back, so that nothing unseen is shown.

    Raises:
        UserError: the cameras have no common focus point.
    """
    standing = orbit_frame(cameras)
    distance = np.linalg.norm(standing.offsets, axis=1)
    heights = standing.offsets[:, 2] / distance
    sine = np.median(heights) if elevation is None else math.sin(math.radians(elevation))
    sine = np.clip(sine, -0.9998, 0.9998)  # within 89 degrees: straight above, azimuth is undefined
    angles = 2 * np.pi * np.arange(num_frames) / num_frames
    middle, length = covered_arc(standing.offsets)
    if length < SURROUNDED:
        angles = middle + length / 2 * np.sin(angles)
    level = math.sqrt(1 - sine**2)
    around = np.stack([level * np.cos(angles), level * np.sin(angles), np.full(num_frames, sine)], axis=1)
    return pinholes(cameras, standing.poses(distance.mean() * around))


def spiral(cameras: Camera, num_frames: int = NUM_FRAMES) -> Camera:
    """Compute LLFF's spiral around the mean camera, for cameras that face the same way: two turns, back to the start.

    With r the 90th percentiles of the cameras' |offsets| along the mean camera's axes, positions along these axes are
    (r_x cos a, -r_y sin a, -r_z sin(a / 2)); all frames look at one point of the mean camera's optical axis.

    Raises:
        UserError: the cameras face all directions, or have no common focus point.
    """
    poses = np.asarray(cameras.camera_to_world, np.float64)
    backward, up, centre = poses[:, :, 2].mean(0), poses[:, :, 1].mean(0), poses[:, :, 3].mean(0)
    if covered_arc(orbit_frame(cameras).offsets)[1] >= SURROUNDED:
        raise UserError('path spiral: the training cameras look all ways, expected one; use the path ellipse or spherical')
    axes = axes_by(unit(backward, backward), up)
    radii = np.percentile(np.abs((poses[:, :, 3] - centre) @ axes.T), 90, axis=0)
    angles = 4 * np.pi * np.arange(num_frames) / num_frames
    offsets = radii * np.stack([np.cos(angles), -np.sin(angles), -np.sin(angles / 2)], axis=1)
    depth = axes[2] @ (centre - scene_focus(cameras))
    target = centre - axes[2] * (depth if depth > 0 else focus_depth(cameras))
    return pinholes(cameras, np.stack([look_at(centre + offset @ axes, target, axes[1]) for offset in offsets]))


def ellipse(cameras: Camera, num_frames: int = NUM_FRAMES) -> Camera:
    """Compute one turn around the focus point, at constant speed on a horizontal ellipse at the cameras' median height.

    Its radii are the 90th percentiles of the cameras' |offsets| along their principal axes. Cameras that cover less than 200
    degrees get the path `spherical`.

    Raises:
        UserError: the cameras have no common focus point.
    """
    standing = orbit_frame(cameras)
    if covered_arc(standing.offsets)[1] < SURROUNDED:
        return spherical(cameras, num_frames)
    flat = standing.offsets[:, :2]
    principal = np.linalg.eigh(flat.T @ flat)[1].T
    radii = np.percentile(np.abs(flat @ principal.T), 90, axis=0)
    angles = np.linspace(0, 2 * np.pi, 1 + 16 * max(num_frames, 64))
    curve = radii * np.stack([np.cos(angles), np.sin(angles)], axis=1) @ principal
    way = np.concatenate([[0], np.cumsum(np.linalg.norm(np.diff(curve, axis=0), axis=1))])
    wanted = way[-1] * np.arange(num_frames) / num_frames
    height = np.full(num_frames, np.median(standing.offsets[:, 2]))
    return pinholes(cameras, standing.poses(np.stack([*(np.interp(wanted, way, c) for c in curve.T), height], axis=1)))
