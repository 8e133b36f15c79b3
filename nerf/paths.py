"""Camera paths for videos."""

import jax
import numpy as np

from nerf.ray.cameras import Camera


def look_at(position: np.ndarray, target: np.ndarray, up: np.ndarray) -> np.ndarray:
    """camera_to_world [3, 4] of a camera at `position` that looks at `target` (along its -z), all [3]."""
    backward = position - target
    backward = backward / np.linalg.norm(backward)
    right = np.cross(up, backward)
    right = right / np.linalg.norm(right)
    return np.stack([right, np.cross(backward, right), backward, position], axis=1)


def focus_point(poses: np.ndarray) -> np.ndarray:
    """The point nearest to all optical axes, in the least-squares sense, of poses [k, 3, 4], -> [3]."""
    axes, positions = poses[:, :, 2], poses[:, :, 3]
    across = np.eye(3) - axes[:, :, None] * axes[:, None, :]
    return np.linalg.lstsq(across.sum(0), np.einsum('kij,kj->i', across, positions), rcond=None)[0]


def spherical(cameras: Camera, num_frames: int, elevation: float = 30.0) -> Camera:
    """A turntable: `num_frames` cameras on a circle around what `cameras` look at, with their mean distance and lens.

    Up is the scene's z axis, as in Blender; `elevation` is in degrees above the ground. Size and lens are the first camera's.
    """
    poses = np.asarray(cameras.camera_to_world, np.float64)
    centre = focus_point(poses)
    radius = np.linalg.norm(poses[:, :, 3] - centre, axis=-1).mean()
    up = np.array([0.0, 0.0, 1.0])
    tilt = np.deg2rad(elevation)
    angles = 2 * np.pi * np.arange(num_frames) / num_frames
    around = np.stack([np.cos(angles) * np.cos(tilt), np.sin(angles) * np.cos(tilt), np.full(num_frames, np.sin(tilt))], -1)
    path = np.stack([look_at(centre + radius * offset, centre, up) for offset in around]).astype(np.float32)
    first = jax.tree.map(lambda field: np.repeat(field[:1], num_frames, axis=0), cameras)
    return first.replace(camera_to_world=path)
