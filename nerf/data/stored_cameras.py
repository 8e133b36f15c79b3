"""Names, splits and cameras of a scene's images in one file, `cameras.npz`, which is not trusted when it is read."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np

from nerf.data.names import check_names
from nerf.data.scene import Scene, camera_arrays, cameras_of_arrays, check_camera
from nerf.host.files import write_atomically
from nerf.host.untrusted import ArrayHeader, UnreadableError, checksum_of_arrays, npz_bytes, read_arrays
from nerf.ray.cameras import Camera

MAX_BYTES = 2**27  # of a hundred thousand cameras with long names
MAX_LETTERS = 256  # of a name
# Shape of one camera's numbers and their type, of all that is always there; then of what may be there.
FIELDS = {
    'camera_to_world': ((3, 4), np.float32),
    'camera_to_pixel': ((3, 3), np.float32),
    'width': ((), np.int32),
    'height': ((), np.int32),
    'near': ((), np.float32),
    'far': ((), np.float32),
}
MORE_FIELDS = {
    'lens_coefficients': ((8,), np.float32),
    'lens_is_fisheye': ((), np.int32),
    'ndc': ((2,), np.float32),
}


def write_cameras(path: Path, scene: Scene) -> None:
    """Write the names, splits and cameras of a scene, with a checksum of them."""
    arrays = {'names': np.array(scene.names), 'split': np.array(scene.split), **_typed_arrays(scene.cameras)}
    write_atomically(path, npz_bytes({**arrays, 'sha256': np.array(checksum_of_arrays(arrays))}))


def read_cameras(path: Path) -> Scene:
    """Read what `write_cameras` wrote, as a scene without pixels; without a checksum, as older versions wrote it.

    Raises:
        UnreadableError: it cannot be read, was changed, or its arrays are not those of cameras.
        UserError: an image or camera that cannot be.
    """
    arrays = read_arrays(path, MAX_BYTES, check_headers)
    expected = arrays.pop('sha256', None)
    if expected is not None and str(expected) != checksum_of_arrays(arrays):
        raise UnreadableError('was changed (SHA-256 differs)')
    names, split = (tuple(map(str, arrays[name])) for name in ('names', 'split'))
    check_names(names, split)
    cameras = cameras_of_arrays(arrays)
    for i, name in enumerate(names):
        check_camera(name, cameras.at(i))
    return Scene(names, split, np.zeros((0, 4), np.uint8), cameras)


def check_headers(headers: Mapping[str, ArrayHeader]) -> None:
    """Check names, shapes and types of the arrays of stacked cameras.

    Raises:
        UnreadableError: an array is missing, or is none of these.
    """
    expected = FIELDS | {name: field for name, field in MORE_FIELDS.items() if name in headers}
    if 'lens_coefficients' in headers or 'lens_is_fisheye' in headers:
        expected |= {name: MORE_FIELDS[name] for name in ('lens_coefficients', 'lens_is_fisheye')}
    missing = [name for name in ('names', 'split', *expected) if name not in headers]
    if missing:
        raise UnreadableError(f'lacks the array {missing[0]}')
    count = headers['names'].shape[:1]
    if count in ((), (0,)):
        raise UnreadableError('names no image')
    for name, (shape, dtype) in expected.items():
        found = headers[name]
        if (found.shape, found.dtype) != ((*count, *shape), dtype):
            raise UnreadableError(f'{name} is {found.dtype} {found.shape}, expected {np.dtype(dtype)} {(*count, *shape)}')
    for name in ('names', 'split'):
        found = headers[name]
        if found.shape != count or found.dtype.kind != 'U' or found.dtype.itemsize > 4 * MAX_LETTERS:
            raise UnreadableError(f'{name} is {found.dtype} {found.shape} where {count[0]} short texts are expected')
    if 'sha256' in headers and (headers['sha256'].shape != () or headers['sha256'].dtype.kind != 'U'):
        raise UnreadableError('has no checksum where one is expected')


def checksum_of_cameras(scene: Scene, split: str) -> str:
    """Compute the SHA-256 of the names and cameras of one split."""
    indices = scene.indices(split)
    names = np.array([scene.names[i] for i in indices], f'U{MAX_LETTERS}')
    return checksum_of_arrays({'names': names, **_typed_arrays(scene.cameras.at(indices))})


def _typed_arrays(cameras: Camera) -> dict[str, np.ndarray]:
    return {name: np.asarray(values, (FIELDS | MORE_FIELDS)[name][1]) for name, values in camera_arrays(cameras).items()}
