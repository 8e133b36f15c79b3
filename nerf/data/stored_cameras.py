"""Names, splits and cameras of a scene's images, and its frame, in one file, `cameras.npz`, not trusted when it is read."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from nerf.data.names import check_names
from nerf.data.poses import FRAME_ARRAYS, frame_arrays, frame_of_arrays
from nerf.data.scene import CAMERA_ARRAYS, OPTIONAL_ARRAYS, Scene, camera_arrays, cameras_of_arrays, check_camera
from nerf.host.files import write_atomically
from nerf.host.untrusted import ArrayHeader, UnreadableError, checksum_of_arrays, npz_bytes, read_arrays

MAX_BYTES = 2**27  # of a hundred thousand cameras with long names
MAX_LETTERS = 256  # of a name


def write_cameras(path: Path, scene: Scene) -> None:
    """Write the names, splits and cameras of a scene, and the similarity from its file's world."""
    write_atomically(path, npz_bytes(_arrays_of(scene)))


def read_cameras(path: Path) -> Scene:
    """Read what `write_cameras` wrote, as a scene without pixels.

    Raises:
        UnreadableError: it cannot be read, or its arrays are not those of cameras.
        UserError: an image, camera or frame that cannot be.
    """
    arrays = read_arrays(path, MAX_BYTES, check_headers)
    names, split = (tuple(map(str, arrays[name])) for name in ('names', 'split'))
    check_names(names, split)
    cameras = cameras_of_arrays(arrays)
    for i, name in enumerate(names):
        check_camera(name, cameras.at(i))
    return Scene(names, split, np.zeros((0, 4), np.uint8), cameras, frame=frame_of_arrays(arrays))


def check_headers(headers: Mapping[str, ArrayHeader]) -> None:
    """Check names, shapes and types of the arrays of stacked cameras and of a frame.

    Raises:
        UnreadableError: an array is missing, or is none of these.
    """
    expected = CAMERA_ARRAYS | {name: field for name, field in OPTIONAL_ARRAYS.items() if name in headers}
    if 'lens_coefficients' in headers or 'lens_is_fisheye' in headers:
        expected |= {name: OPTIONAL_ARRAYS[name] for name in ('lens_coefficients', 'lens_is_fisheye')}
    missing = [name for name in ('names', 'split', *expected, *FRAME_ARRAYS) if name not in headers]
    if missing:
        raise UnreadableError(f'lacks the array {missing[0]}')
    count = headers['names'].shape[:1]
    if count in ((), (0,)):
        raise UnreadableError('names no image')
    shapes = {name: ((*count, *shape), dtype) for name, (shape, dtype) in expected.items()} | FRAME_ARRAYS
    for name, (shape, dtype) in shapes.items():
        found = headers[name]
        if (found.shape, found.dtype) != (shape, dtype):
            raise UnreadableError(f'{name} is {found.dtype} {found.shape}, expected {np.dtype(dtype)} {shape}')
    for name in ('names', 'split'):
        found = headers[name]
        if found.shape != count or found.dtype.kind != 'U' or found.dtype.itemsize > 4 * MAX_LETTERS:
            raise UnreadableError(f'{name} is {found.dtype} {found.shape} where {count[0]} short texts are expected')


def checksum_of_cameras(scene: Scene) -> str:
    """Compute the SHA-256 of what `write_cameras` writes."""
    return checksum_of_arrays(_arrays_of(scene))


def _arrays_of(scene: Scene) -> dict[str, np.ndarray]:
    types = {name: dtype for name, (_, dtype) in (CAMERA_ARRAYS | OPTIONAL_ARRAYS).items()}
    cameras = {name: np.asarray(each, types[name]) for name, each in camera_arrays(scene.cameras).items()}
    return {'names': np.array(scene.names), 'split': np.array(scene.split), **cameras, **frame_arrays(scene.frame)}
