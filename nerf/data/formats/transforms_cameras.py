"""Camera of a frame in a `transforms.json`: size, focal lengths, principal point and distortion, by the keys of the file."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from nerf.data.formats.colmap_cameras import CAMERA_MODELS, COEFFICIENTS, FISHEYE_COEFFICIENTS, LARGEST_SIDE
from nerf.errors import UserError, unknown

# A file with one of these keys is no Blender scene's, which has an angle of view alone.
SAYS_INTRINSICS = frozenset({'fl_x', 'cx', 'k1', 'camera_model'})
LARGEST = 1e30  # fits into float32
# Keys of instant-ngp for lens models that are not OpenCV's.
OTHER_LENSES = ('ftheta_p0', 'latlong', 'equirectangular', 'orthographic')


def read_size(said: Mapping[str, Any], where: str) -> tuple[int, int] | None:
    """Read w and h, px; None unless both are given.

    Raises:
        UserError: one of them is not a possible size of an image.
    """
    size = tuple(_number(said, key, where) for key in ('w', 'h'))
    if None in size:
        return None
    if not all(1 <= side <= LARGEST_SIDE and side == int(side) for side in size):
        raise UserError(f'{where}: found w {size[0]:g} and h {size[1]:g}, expected whole numbers from 1 to {LARGEST_SIDE:,}')
    return int(size[0]), int(size[1])


def read_camera(said: Mapping[str, Any], size: tuple[int, int], where: str) -> tuple[np.ndarray, np.ndarray, bool]:
    """Read K [3, 3], px, for an image of `size` (width, height), the distortion coefficients [8], and whether it is a fisheye.

    The focal length is fl_x or 0.5 w / tan(0.5 camera_angle_x), likewise along y; if given for one axis only, it is used for
    both. The principal point is in the centre by default.

    Raises:
        UserError: no focal length, an invalid number, or an unknown lens model.
    """
    focal_x, focal_y = (_focal(said, axis, side, where) for axis, side in zip('xy', size, strict=True))
    if focal_x is None and focal_y is None:
        raise UserError(f'{where}: expected a focal length fl_x (px) or an angle of view camera_angle_x (radians)')
    centre_x, centre_y = _number(said, 'cx', where, 0.5 * size[0]), _number(said, 'cy', where, 0.5 * size[1])
    intrinsics = np.array([[focal_x or focal_y, 0, centre_x], [0, focal_y or focal_x, centre_y], [0, 0, 1]])
    return intrinsics, *_lens(said, where)


def _focal(said: Mapping[str, Any], axis: str, side: int, where: str) -> float | None:
    """Read the focal length along x or y, px; None if not given."""
    focal, angle = _number(said, f'fl_{axis}', where), _number(said, f'camera_angle_{axis}', where)
    if focal is not None:
        if focal <= 0:
            raise UserError(f'{where}: found fl_{axis} {focal:g}, expected a focal length in px, a positive number')
        return focal
    if angle is None:
        return None
    if not 0 < angle < math.pi:
        raise UserError(f'{where}: found camera_angle_{axis} {angle:g}, expected an angle of view in radians, between 0 and pi')
    return 0.5 * side / math.tan(0.5 * angle)


def _lens(said: Mapping[str, Any], where: str) -> tuple[np.ndarray, bool]:
    """Read the distortion coefficients [8] in the order of `nerf.ray.lenses.Lens`, and whether they are a fisheye's."""
    model, is_fisheye = said.get('camera_model'), said.get('is_fisheye', False)
    if model is not None and (not isinstance(model, str) or model not in CAMERA_MODELS):
        raise UserError(f'{where}: {unknown("camera_model", str(model)[:40], CAMERA_MODELS)}; undistort the images first')
    for key in OTHER_LENSES:
        if said.get(key):
            raise UserError(f"{where}: found {key}, a lens that is not known; expected a pinhole or one of OpenCV's models")
    if not isinstance(is_fisheye, bool):
        raise UserError(f'{where}: found is_fisheye {is_fisheye!r:.40}, expected true or false')
    is_fisheye = is_fisheye or (model is not None and model.endswith('FISHEYE'))
    values = [_number(said, key, where, 0.0) for key in (FISHEYE_COEFFICIENTS if is_fisheye else COEFFICIENTS)]
    # Unless the model is FULL_OPENCV, k4 may be the coefficient of r^8, as in nerfstudio, which OpenCV's models lack.
    if model != 'FULL_OPENCV' and not is_fisheye and any(values[5:]):
        raise UserError(f'{where}: found k4 to k6 {values[5:]} in a lens that is no fisheye, expected 0, or FULL_OPENCV')
    return np.pad(values, (0, 8 - len(values))), is_fisheye


def _number(said: Mapping[str, Any], key: str, where: str, otherwise: float | None = None) -> float | None:
    """Read the number under `key`; `otherwise` if not given."""
    value = said.get(key)
    if value is None:
        return otherwise
    # The comparison also refuses NaN and integers too large for a float.
    if isinstance(value, bool) or not isinstance(value, int | float) or not abs(value) < LARGEST:
        raise UserError(f'{where}: found {key} {value!r:.40}, expected a number')
    return float(value)
