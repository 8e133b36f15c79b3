"""Cameras of a COLMAP model: the supported camera models and their parameters.

All of them are cases of two of OpenCV's models, so each parameter has OpenCV's name. COLMAP's axes are OpenCV's too
(x right, y down, the camera looks along +z), and the centre of its first pixel is (0.5, 0.5), as everywhere here.
"""

import dataclasses
import math

import numpy as np

from nerf.errors import UserError, unknown

CAMERA_MODELS = {
    name: tuple(parameters.split())
    for name, parameters in {
        'SIMPLE_PINHOLE': 'f cx cy',
        'PINHOLE': 'fx fy cx cy',
        'SIMPLE_RADIAL': 'f cx cy k1',
        'RADIAL': 'f cx cy k1 k2',
        'OPENCV': 'fx fy cx cy k1 k2 p1 p2',
        'FULL_OPENCV': 'fx fy cx cy k1 k2 p1 p2 k3 k4 k5 k6',
        'SIMPLE_FISHEYE': 'f cx cy',
        'FISHEYE': 'fx fy cx cy',
        'SIMPLE_RADIAL_FISHEYE': 'f cx cy k1',
        'RADIAL_FISHEYE': 'f cx cy k1 k2',
        'OPENCV_FISHEYE': 'fx fy cx cy k1 k2 k3 k4',
    }.items()
}
COEFFICIENTS = ('k1', 'k2', 'p1', 'p2', 'k3', 'k4', 'k5', 'k6')
FISHEYE_COEFFICIENTS = ('k1', 'k2', 'k3', 'k4')
# By the numbers of the models in binary files; models that are not supported are listed for messages only.
MODEL_NAMES = (
    *('SIMPLE_PINHOLE', 'PINHOLE', 'SIMPLE_RADIAL', 'RADIAL', 'OPENCV', 'OPENCV_FISHEYE', 'FULL_OPENCV', 'FOV'),
    *('SIMPLE_RADIAL_FISHEYE', 'RADIAL_FISHEYE', 'THIN_PRISM_FISHEYE', 'RAD_TAN_THIN_PRISM_FISHEYE', 'SIMPLE_DIVISION'),
    *('DIVISION', 'SIMPLE_FISHEYE', 'FISHEYE', 'EUCM', 'EQUIRECTANGULAR'),
)
LARGEST_SIDE = 1_000_000


@dataclasses.dataclass(frozen=True)
class ModelCamera:
    """One camera, as given in the file.

    Attributes:
        model: a name in `CAMERA_MODELS`.
        width: px.
        height: px.
        params: the model's parameters, in the order of `CAMERA_MODELS`.
    """

    model: str
    width: int
    height: int
    params: tuple[float, ...]

    @property
    def intrinsics(self) -> np.ndarray:
        """K = [[f_x, 0, c_x], [0, f_y, c_y], [0, 0, 1]], float64 [3, 3], px."""
        by_name = self._by_name()
        focal = by_name.get('f')
        rows = [[by_name.get('fx', focal), 0, by_name['cx']], [0, by_name.get('fy', focal), by_name['cy']], [0, 0, 1]]
        return np.array(rows, np.float64)

    @property
    def distortion(self) -> np.ndarray:
        """Distortion coefficients in the order of `nerf.ray.lenses.Lens`, float64 [8]; 0 for those that the model lacks."""
        by_name = self._by_name()
        values = [by_name.get(name, 0.0) for name in (FISHEYE_COEFFICIENTS if self.is_fisheye else COEFFICIENTS)]
        return np.pad(values, (0, 8 - len(values)))

    @property
    def is_fisheye(self) -> bool:
        """Whether the model is a fisheye, with a polynomial in the angle from the axis."""
        return self.model.endswith('FISHEYE')

    def _by_name(self) -> dict[str, float]:
        return dict(zip(CAMERA_MODELS[self.model], self.params, strict=True))


def make_camera(where: str, model: str, width: int, height: int, params: tuple[float, ...]) -> ModelCamera:
    """Make a camera after checking its numbers; `where` is its file and id, for messages.

    Raises:
        UserError: an unknown model, a wrong number of parameters, one that is not finite, or an invalid size or focal length.
    """
    if model not in CAMERA_MODELS:
        raise UserError(f'{where}: {unknown("camera model", model, CAMERA_MODELS)}; undistort the images with COLMAP first')
    names = CAMERA_MODELS[model]
    if len(params) != len(names):
        raise UserError(f'{where}: found {len(params)} parameters for {model}, expected {len(names)}: {" ".join(names)}')
    if not all(map(math.isfinite, params)):
        raise UserError(f'{where}: a parameter is not finite, {list(params)}; export the model anew')
    if not (0 < width <= LARGEST_SIDE and 0 < height <= LARGEST_SIDE):
        raise UserError(
            f'{where}: found a size of {width} x {height} px, expected 1 to {LARGEST_SIDE:,}; export the model anew'
        )
    focal = [value for name, value in zip(names, params, strict=True) if name.startswith('f')]
    if min(focal) <= 0:
        raise UserError(f'{where}: found a focal length of {min(focal)} px, expected a positive one; export the model anew')
    return ModelCamera(model, width, height, params)
