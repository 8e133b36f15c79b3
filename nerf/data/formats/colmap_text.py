"""Reader of COLMAP's text files; its functions return the same as those of `nerf.data.formats.colmap_binary`.

A line that starts with # is a comment. images.txt has two lines for each image, the second of which may be empty. Text is
UTF-8 or, by its byte order mark, UTF-16 or UTF-32, as editors and shells of Windows write it.
"""

from array import array
from collections.abc import Iterator

import numpy as np

from nerf.data.formats.colmap_cameras import ModelCamera, make_camera
from nerf.errors import UserError
from nerf.host.untrusted import UnreadableError, decode_text

IMAGE_LINE = 'IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME'


def read_cameras(path: str) -> list[tuple[int, ModelCamera]]:
    """Read the ids and cameras of cameras.txt.

    Raises:
        UserError: a malformed line, or an invalid camera.
    """
    cameras = []
    for number, line in _lines(path):
        words = line.split()
        if not words:
            continue
        try:
            camera_id, width, height = int(words[0]), int(words[2]), int(words[3])
            params = tuple(map(float, words[4:]))
        except (ValueError, IndexError):
            raise _misshapen(path, number, 'CAMERA_ID MODEL WIDTH HEIGHT PARAMETERS') from None
        cameras.append((camera_id, make_camera(f'{path}, camera {camera_id}', words[1], width, height, params)))
    return cameras


def read_images(path: str) -> list[tuple]:
    """Read ids, quaternions, translations, camera ids, names, and ids of the observed points (int64 array) of images.txt.

    Raises:
        UserError: a malformed line of an image or of its points.
    """
    images = []
    for (number, line), below in _image_lines(path):
        words = line.split(maxsplit=9)
        try:
            image_id, camera_id, name = int(words[0]), int(words[8]), words[9].rstrip()
            pose = tuple(map(float, words[1:8]))
        except (ValueError, IndexError):
            raise _misshapen(path, number, IMAGE_LINE) from None
        images.append((image_id, pose[:4], pose[4:], camera_id, name, _seen(path, *below)))
    return images


def read_names(path: str) -> list[str]:
    """Read the names in images.txt alone.

    Raises:
        UserError: a malformed line of an image.
    """
    names = []
    for (number, line), _ in _image_lines(path):
        words = line.split(maxsplit=9)
        if len(words) < 10:
            raise _misshapen(path, number, IMAGE_LINE)
        names.append(words[9].rstrip())
    return names


def read_points(path: str) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Read ids int64 [n], positions float64 [n, 3], colours uint8 [n, 3] and errors float64 [n], px, of points3D.txt.

    Raises:
        UserError: a malformed line.
    """
    ids, values = array('q'), array('d')
    for number, line in _lines(path):
        words = line.split(maxsplit=8)
        if not words:
            continue
        try:
            ids.append(int(words[0]))
            values.extend(map(float, words[1:8]))
            is_colour = all(0 <= value <= 255 for value in values[-4:-1])
        except (ValueError, OverflowError):
            raise _misshapen(path, number, 'POINT3D_ID X Y Z R G B ERROR, then its track') from None
        if len(values) != 7 * len(ids) or not is_colour:
            raise _misshapen(path, number, 'POINT3D_ID X Y Z R G B ERROR, then its track')
    table = np.array(values).reshape(-1, 7)
    return np.array(ids), table[:, :3], table[:, 3:6].astype(np.uint8), table[:, 6]


def _seen(path: str, number: int, line: str) -> np.ndarray:
    """Parse the ids in a line of observed points, int64 [k]."""
    words = line.split()
    try:
        if len(words) % 3:
            raise ValueError
        return np.array(list(map(int, words[2::3])), np.int64)
    except (ValueError, OverflowError):
        raise _misshapen(path, number, 'the points of the image above, X Y POINT3D_ID each, or nothing') from None


def _lines(path: str) -> Iterator[tuple[int, str]]:
    """Yield the lines that are not comments, with their numbers from 1."""
    try:
        with open(path, 'rb') as file:
            lines = decode_text(file.read()).split('\n')
    except UnreadableError as error:
        raise UserError(f'{path}: {error}') from None
    for number, line in enumerate(lines, 1):
        if not line.startswith('#'):
            yield number, line


def _image_lines(path: str) -> Iterator[tuple[tuple[int, str], tuple[int, str]]]:
    """Yield the line of each image in images.txt and that of its points, which is empty at the end of a cut file."""
    lines = _lines(path)
    for number, line in lines:
        if line.split():
            yield (number, line), next(lines, (number + 1, ''))


def _misshapen(path: str, number: int, expected: str) -> UserError:
    return UserError(f'{path}, line {number}: expected {expected}; export the model anew')
