"""Camera of a frame in a `transforms.json`: size, focal lengths, principal point and distortion, by the keys of the file."""

import math
from collections import ChainMap
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nerf.data.formats.colmap_cameras import CAMERA_MODELS, COEFFICIENTS, FISHEYE_COEFFICIENTS, LARGEST_SIDE
from nerf.errors import UserError, unknown

# A file with one of these keys is no Blender scene's, which has an angle of view alone.
SAYS_INTRINSICS = frozenset({'fl_x', 'cx', 'k1', 'camera_model', 'distortion_params'})
LARGEST = 1e30  # fits into float32
# Keys of instant-ngp for lens models that are not OpenCV's.
OTHER_LENSES = ('ftheta_p0', 'latlong', 'equirectangular', 'orthographic')
LISTED = ('k1', 'k2', 'k3', 'k4', 'p1', 'p2')  # order of nerfstudio's distortion_params


def read_size(said: Mapping[str, Any], where: str) -> tuple[int, int] | None:
    """Read w and h, rounded to whole px, as BlenderNeRF writes 54.9 % of 1080; None unless both are given.

    Raises:
        UserError: one of them is not a possible size of an image.
    """
    size = tuple(_number(said, key, where) for key in ('w', 'h'))
    if None in size:
        return None
    if not all(1 <= round(side) <= LARGEST_SIDE for side in size):
        raise UserError(f'{where}: found w {size[0]:g} and h {size[1]:g}, expected 1 to {LARGEST_SIDE:,} px')
    return round(size[0]), round(size[1])


def read_camera(said: Mapping[str, Any], size: tuple[int, int], where: str) -> tuple[np.ndarray, np.ndarray, bool]:
    """Read K [3, 3], px, for an image of `size` (width, height), the distortion coefficients [8], and whether it is a fisheye.

    The focal length is fl_x, 0.5 w / tan(0.5 x_fov) or 0.5 w / tan(0.5 camera_angle_x), likewise along y; if given for one
    axis only, it is used for both. x_fov is in degrees and comes first, as in instant-ngp, camera_angle_x is in radians. The
    principal point is in the centre by default. All are for an image of w x h px, and scaled to `size` if that is another.

    `said` may be a `ChainMap` of a frame's values and the file's: if the frame gives a focal length in any form, those of
    the file do not count.

    Raises:
        UserError: no focal length, an invalid number, or an unknown lens model.
    """
    layers = said.maps if isinstance(said, ChainMap) else [said]
    full = _said_size(said, size, where)
    focal_x, focal_y = next(filter(any, (_focals(layer, full, where) for layer in layers)), (None, None))
    if focal_x is None and focal_y is None:
        raise UserError(f'{where}: expected a focal length fl_x (px) or an angle of view camera_angle_x (radians)')
    centre_x, centre_y = _number(said, 'cx', where, 0.5 * full[0]), _number(said, 'cy', where, 0.5 * full[1])
    intrinsics = np.array([[focal_x or focal_y, 0, centre_x], [0, focal_y or focal_x, centre_y], [0, 0, 1]])
    return intrinsics * [[size[0] / full[0]], [size[1] / full[1]], [1]], *_lens(said, layers, where)


def _said_size(said: Mapping[str, Any], size: tuple[int, int], where: str) -> tuple[float, float]:
    """Read the (width, height), px, for which intrinsics are given: `size`, in the proportion of w or h if these are given."""
    if read_size(said, where):
        return _number(said, 'w', where), _number(said, 'h', where)
    width, height = _number(said, 'w', where), _number(said, 'h', where)
    ratio = 1.0 if width is height is None else width / size[0] if height is None else height / size[1]
    if not 1 <= min(size) * ratio <= max(size) * ratio <= LARGEST_SIDE:
        raise UserError(f'{where}: found w {width} and h {height}, expected 1 to {LARGEST_SIDE:,} px')
    return size[0] * ratio, size[1] * ratio


def _focals(said: Mapping[str, Any], size: tuple[float, float], where: str) -> tuple[float | None, float | None]:
    """Read the focal lengths along x and y, px; None for those that are not given."""
    return _focal(said, 'x', size[0], where), _focal(said, 'y', size[1], where)


def _focal(said: Mapping[str, Any], axis: str, side: float, where: str) -> float | None:
    """Read the focal length along x or y, px; None if not given."""
    degrees, focal, angle = (_number(said, key, where) for key in (f'{axis}_fov', f'fl_{axis}', f'camera_angle_{axis}'))
    if degrees is not None:
        if not 0 < degrees < 180:
            raise UserError(f'{where}: found {axis}_fov {degrees:g}, expected an angle of view in degrees, between 0 and 180')
        return 0.5 * side / math.tan(0.5 * math.radians(degrees))
    if focal is not None:
        if focal <= 0:
            raise UserError(f'{where}: found fl_{axis} {focal:g}, expected a focal length in px, a positive number')
        return focal
    if angle is None:
        return None
    if not 0 < angle < math.pi:
        remedy = f'; if it is in degrees, write {math.radians(angle):.6g}' if math.pi < angle < 180 else ''
        raise UserError(
            f'{where}: found camera_angle_{axis} {angle:g}, expected an angle of view in radians, between 0 and pi{remedy}'
        )
    return 0.5 * side / math.tan(0.5 * angle)


def _listed_lens(layers: Sequence[Mapping[str, Any]], where: str) -> dict[str, Any]:
    """Read nerfstudio's list of coefficients by their names, of the frame or the file; empty without, or if they are named."""
    layer = next((each for each in layers if 'distortion_params' in each or not set(LISTED).isdisjoint(each)), {})
    values = layer.get('distortion_params')
    if values is None:
        return {}
    if not isinstance(values, list) or len(values) != len(LISTED):
        raise UserError(f'{where}: found distortion_params {values!r:.40}, expected a list of {", ".join(LISTED)}')
    return dict(zip(LISTED, values, strict=True))


def _lens(said: Mapping[str, Any], layers: Sequence[Mapping[str, Any]], where: str) -> tuple[np.ndarray, bool]:
    """Read the distortion coefficients [8] in the order of `nerf.ray.lenses.Lens`, and whether they are a fisheye's."""
    said = ChainMap(_listed_lens(layers, where), said)
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
