"""Reader of COLMAP's binary files; counts are checked against the bytes that are left in the file.

All numbers are little-endian. The functions return the same as those of `nerf.data.formats.colmap_text`.
"""

import struct
from collections.abc import Iterator

import numpy as np

from nerf.data.formats.colmap_cameras import CAMERA_MODELS, MODEL_NAMES, ModelCamera, make_camera
from nerf.errors import UserError

COUNT = struct.Struct('<Q')
CAMERA = struct.Struct('<IiQQ')  # id, model, width, height; then the parameters
IMAGE = struct.Struct('<I7dI')  # id, quaternion, translation, camera id; then the name, ended by a zero byte
LONGEST_NAME = 1024
OBSERVATION = np.dtype([('xy', '<f8', 2), ('point_id', '<i8')])
# The start of a point; `track` pairs of 32-bit numbers follow.
POINT = np.dtype([('id', '<i8'), ('xyz', '<f8', 3), ('colour', 'u1', 3), ('error', '<f8'), ('track', '<u8')])
TRACK_ENTRY = 8


class Cursor:
    """Position in a file that is read from start to end."""

    def __init__(self, path: str) -> None:
        """Read the file at `path` and start at its first byte."""
        with open(path, 'rb') as file:
            self.data = file.read()
        self.path = path
        self.at = 0

    @property
    def left(self) -> int:
        """Number of bytes left."""
        return len(self.data) - self.at

    def take(self, layout: struct.Struct) -> tuple:
        """Read the next numbers, in this layout.

        Raises:
            UserError: fewer bytes are left.
        """
        if layout.size > self.left:
            raise cut_off(self.path)
        values = layout.unpack_from(self.data, self.at)
        self.at += layout.size
        return values

    def count(self, what: str, size: int) -> int:
        """Read the next number, a count of entries that take `size` bytes each at least.

        Raises:
            UserError: so many entries do not fit into the rest of the file.
        """
        (count,) = self.take(COUNT)
        if count > self.left // size:
            raise UserError(
                f'{self.path}: says {count} {what} follow, but only {self.left} bytes do; it is damaged: copy it anew'
            )
        return count

    def name(self) -> str:
        """Read the next text, up to a zero byte.

        Raises:
            UserError: no zero byte within 1024 bytes, or not UTF-8.
        """
        end = self.data.find(b'\0', self.at, self.at + LONGEST_NAME + 1)
        if end < 0:
            raise UserError(
                f'{self.path}: an image name does not end within {LONGEST_NAME} bytes; the file is damaged: copy it anew'
            )
        start, self.at = self.at, end + 1
        try:
            return self.data[start:end].decode()
        except UnicodeDecodeError:
            raise UserError(f'{self.path}: found an image name that is not UTF-8; rename the image and export anew') from None

    def end(self) -> None:
        """Check that no bytes are left.

        Raises:
            UserError: some are.
        """
        if self.left:
            raise UserError(f'{self.path}: {self.left} bytes follow after its last entry, expected none; export the model anew')


def cut_off(path: str) -> UserError:
    """Return the error for a file that ends within an entry."""
    return UserError(f'{path}: ends in the middle of an entry; it is damaged or cut off: copy it anew')


def read_cameras(path: str) -> list[tuple[int, ModelCamera]]:
    """Read the ids and cameras of cameras.bin.

    Raises:
        UserError: a damaged file, or an invalid camera.
    """
    cursor = Cursor(path)
    cameras = []
    for _ in range(cursor.count('cameras', CAMERA.size)):
        camera_id, model_id, width, height = cursor.take(CAMERA)
        name = MODEL_NAMES[model_id] if 0 <= model_id < len(MODEL_NAMES) else f'number {model_id}'
        params = cursor.take(struct.Struct(f'<{len(CAMERA_MODELS.get(name, ()))}d'))
        cameras.append((camera_id, make_camera(f'{path}, camera {camera_id}', name, width, height, params)))
    cursor.end()
    return cameras


def read_images(path: str) -> list[tuple]:
    """Read ids, quaternions, translations, camera ids, names, and ids of the observed points (int64 array) of images.bin.

    Raises:
        UserError: a damaged file.
    """
    return [
        (image_id, tuple(pose[:4]), tuple(pose[4:]), camera_id, name, seen['point_id'].copy())
        for (image_id, *pose, camera_id), name, seen in _entries(path)
    ]


def read_names(path: str) -> list[str]:
    """Read the names in images.bin alone.

    Raises:
        UserError: a damaged file.
    """
    return [name for _, name, _ in _entries(path)]


def _entries(path: str) -> Iterator[tuple[tuple, str, np.ndarray]]:
    """Yield the numbers of `IMAGE`, the name and the observations (a view of the file) of each image."""
    cursor = Cursor(path)
    for _ in range(cursor.count('images', IMAGE.size + 1 + COUNT.size)):
        numbers, name = cursor.take(IMAGE), cursor.name()
        count = cursor.count(f'observations of {name!r}', OBSERVATION.itemsize)
        yield numbers, name, np.ndarray(count, OBSERVATION, cursor.data, cursor.at)
        cursor.at += count * OBSERVATION.itemsize
    cursor.end()


def read_points(path: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Read ids int64 [n], positions float64 [n, 3], colours uint8 [n, 3] and errors float64 [n], px, of points3D.bin.

    Raises:
        UserError: a damaged file.
    """
    cursor = Cursor(path)
    count, data, at = cursor.count('points', POINT.itemsize), cursor.data, cursor.at
    starts = np.empty(count, np.int64)
    last, track = len(data) - POINT.itemsize, POINT.fields['track'][1]
    for i in range(count):  # the only Python loop over points, so it is kept short
        if at > last:
            raise cut_off(path)
        starts[i] = at
        at += POINT.itemsize + TRACK_ENTRY * COUNT.unpack_from(data, at + track)[0]
    if at > len(data):
        raise cut_off(path)
    cursor.at = at
    cursor.end()
    # A view with a point at every byte of the file, without a copy; then the points at their starts.
    points = np.ndarray(max(0, last + 1), POINT, data, strides=(1,))[starts]
    return points['id'], points['xyz'], points['colour'], points['error']
