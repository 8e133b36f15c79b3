"""Paths by formula: around what cameras look at, or before it.

All follow from the training cameras alone, come back to where they began and look at one point.
"""

import math
from typing import NamedTuple

import numpy as np

from nerf.data.poses import NEAREST, axes_by, focus_point, unit, up_direction
from nerf.errors import UserError
from nerf.paths.cameras import pinholes
from nerf.ray.cameras import Camera

NUM_FRAMES = 120
SURROUNDED = math.radians(200)  # cameras that cover less around their subject leave its back unseen
COVERED = 0.95  # share of the cameras that counts for what they cover
UPRIGHT = math.cos(math.radians(3))  # up, where it is this near to the z axis, is the z axis
ALIKE = 0.8  # length of the mean of unit vectors from which on they have a direction in common
# LLFF's recipe for what to look at: of disparities, a quarter of that of the nearest depth and the rest of the farthest.
CLOSE, BEYOND, FAR_SHARE = 0.9, 5.0, 0.75


def look_at(position: np.ndarray, target: np.ndarray, up: np.ndarray) -> np.ndarray:
    """camera_to_world [3, 4] of a camera at `position` that looks at `target` (along its -z), all [3]."""
    backward = position - target
    axes = axes_by(backward / np.linalg.norm(backward), up)
    return np.concatenate([axes.T, position[:, None]], axis=1)


def scene_focus(cameras: Camera) -> np.ndarray | None:
    """What stacked cameras look at, [3]: where their axes meet, if most have it ahead, else on their mean axis; or nothing.

    Axes of forward-facing photos meet anywhere; LLFF's recipe has these at the mean of what they see, in disparity.
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
    """The depth [] that counts most in what stacked cameras see: 1 / z = 0.25 / (0.9 near) + 0.75 / (5 far), world.

    Forward-facing scenes have their nearest depth at 4/3 and may reach infinitely far.
    """
    near, far = (max(float(np.min(cameras.near)), 1e-3), float(np.max(cameras.far)))
    if cameras.ndc is not None:
        near, far = NEAREST, np.inf
    return 1 / ((1 - FAR_SHARE) / (CLOSE * near) + FAR_SHARE / (BEYOND * far))


class OrbitFrame(NamedTuple):
    """How cameras stand around what they look at.

    Attributes:
        focus: that, [3], world.
        axes: rows are two level axes and up, [3, 3], world.
        offsets: of the cameras from the focus, along these axes, [k, 3], world.
    """

    focus: np.ndarray
    axes: np.ndarray
    offsets: np.ndarray

    def poses(self, offsets: np.ndarray) -> np.ndarray:
        """camera_to_world [n, 3, 4] of upright cameras at these offsets [n, 3] that look at the focus."""
        return np.stack([look_at(self.focus + offset @ self.axes, self.focus, self.axes[2]) for offset in offsets])


def orbit_frame(cameras: Camera) -> OrbitFrame:
    """How stacked cameras stand.

    Raises:
        UserError: they look at nothing in common.
    """
    focus = scene_focus(cameras)
    if focus is None:
        raise UserError('the training cameras look at nothing in common to go around; use the path train or keyframes')
    poses = np.asarray(cameras.camera_to_world, np.float64)
    up = up_direction(poses)
    up = np.array([0.0, 0.0, 1.0]) if up[2] > UPRIGHT else up
    # The level axis next to x, or to y if x is nearly up.
    toward = np.eye(3)[0] if abs(up[0]) < 0.9 else np.eye(3)[1]
    level = unit(toward - up * (up @ toward), toward)
    axes = np.stack([level, np.cross(up, level), up])
    return OrbitFrame(focus, axes, (poses[:, :, 3] - focus) @ axes.T)


def covered_arc(offsets: np.ndarray) -> tuple[float, float]:
    """Middle and length of the shortest arc around the third axis that has 95 % of the offsets [k, 3], radians.

    Those straight above, whose direction from there means little, do not count.
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
    """A turntable: once around what `cameras` look at, at their mean distance and `elevation` (their median), in degrees.

    Cameras that cover less than 200 degrees around it are swung between their ends and back, so that nothing unseen is shown.

    Raises:
        UserError: the cameras look at nothing in common.
    """
    standing = orbit_frame(cameras)
    distance = np.linalg.norm(standing.offsets, axis=1)
    heights = standing.offsets[:, 2] / distance
    sine = np.median(heights) if elevation is None else math.sin(math.radians(elevation))
    sine = np.clip(sine, -0.9998, 0.9998)  # within 89 degrees: straight above, there is no turning around
    angles = 2 * np.pi * np.arange(num_frames) / num_frames
    middle, length = covered_arc(standing.offsets)
    if length < SURROUNDED:
        angles = middle + length / 2 * np.sin(angles)
    level = math.sqrt(1 - sine**2)
    around = np.stack([level * np.cos(angles), level * np.sin(angles), np.full(num_frames, sine)], axis=1)
    return pinholes(cameras, standing.poses(distance.mean() * around))


def spiral(cameras: Camera, num_frames: int = NUM_FRAMES) -> Camera:
    """LLFF's spiral around the mean camera, for cameras that all look the same way: two turns, back to where it began.

    With r the 90th percentiles of the cameras' |offsets| along the mean camera's axes, positions are
    (r_x cos a, -r_y sin a, -r_z sin(a / 2)) there; all look at one point of its axis.

    Raises:
        UserError: the cameras look all ways, or at nothing in common.
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
    """Once around what `cameras` look at, at constant speed on a level ellipse among them, at their median height.

    Its radii are the 90th percentiles of the cameras' |offsets| along their principal axes. For cameras that do not surround
    it, `spherical`.

    Raises:
        UserError: the cameras look at nothing in common.
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
