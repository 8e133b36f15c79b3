"""Pose matrices with a scale, as tools write them that export an object's matrix: the scale is not part of a pose."""

import logging

import numpy as np

LOG = logging.getLogger('nerf')
TOLERANCE = 1e-3  # of the columns' products, as of a rotation that is used as it is


def without_scale(where: str, poses: np.ndarray) -> np.ndarray:
    """Divide the 3x3 parts of camera_to_world [k, 3, 4] by their scale, R = (s R) / s with s = det(s R)^(1/3).

    One line is logged about all. Rotations stay as they are, and so does what is no rotation times one positive scale: a
    sheared or mirrored matrix, which `nerf.data.scene.check_camera` refuses. The position has no part in the scale.
    """
    poses = np.asarray(poses, np.float64)
    rotations = poses[:, :, :3]
    with np.errstate(over='ignore', invalid='ignore', divide='ignore'):
        scales = np.cbrt(np.linalg.det(rotations))
        straight = rotations / scales[:, None, None]
        is_scaled = ~_is_rotation(rotations) & (scales > 0) & np.isfinite(scales) & _is_rotation(straight)
    if not is_scaled.any():
        return poses
    found = scales[is_scaled]
    LOG.warning(
        '%s: %d of %d poses are rotations times a scale, %s, which is divided out',
        where,
        is_scaled.sum(),
        len(poses),
        f'{found[0]:.4g}' if np.ptp(found) < TOLERANCE * found[0] else f'{found.min():.4g} to {found.max():.4g}',
    )
    poses = poses.copy()
    poses[is_scaled, :, :3] = straight[is_scaled]
    return poses


def _is_rotation(matrices: np.ndarray) -> np.ndarray:
    """Return whether the columns of each of [k, 3, 3] are orthonormal, bool [k]."""
    products = np.swapaxes(matrices, 1, 2) @ matrices
    return (np.abs(products - np.eye(3)) < TOLERANCE).all(axis=(1, 2))
