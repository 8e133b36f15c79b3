"""COLMAP's sparse models: cameras, posed images and points, from binary or text files that may be damaged.

COLMAP's own reader is not used, as it trusts the counts in a damaged file.
"""

import dataclasses
import logging
import math
import os
from collections import Counter
from collections.abc import Sequence
from types import ModuleType

import numpy as np

from nerf.data.formats import colmap_binary, colmap_text
from nerf.data.formats.colmap_cameras import ModelCamera
from nerf.errors import UserError

LOG = logging.getLogger('nerf')
PARTS = ('cameras', 'images', 'points3D')
READERS = {'.bin': colmap_binary, '.txt': colmap_text}
SHORTEST_QUATERNION = 1e-6


@dataclasses.dataclass(frozen=True)
class ModelImage:
    """One posed image: x_camera = rotation x_world + translation, in OpenCV's axes (y down, looking along +z).

    Attributes:
        id: in the file.
        name: of its file, within the folder of images.
        camera_id: a key of `Model.cameras`.
        rotation: [3, 3], float64.
        translation: [3], float64, units of the file.
        seen: rows of `Model.points` that it observes, int64 [k], ascending.
    """

    id: int
    name: str
    camera_id: int
    rotation: np.ndarray
    translation: np.ndarray
    seen: np.ndarray


@dataclasses.dataclass(frozen=True)
class Model:
    """Sparse model: cameras, posed images and points.

    Attributes:
        cameras: by id.
        images: in the order of the file.
        points: [n, 3], float64, world of the file; n may be 0, also as the file of the points is missing.
        point_colours: [n, 3], uint8, sRGB.
        point_errors: mean reprojection error, float64 [n], px; -1: not computed.
    """

    cameras: dict[int, ModelCamera]
    images: tuple[ModelImage, ...]
    points: np.ndarray
    point_colours: np.ndarray
    point_errors: np.ndarray


def holds_model(folder: str) -> bool:
    """Return whether the folder holds cameras and images of a model, binary or as text."""
    return None not in _parts_in(folder)[:2]


def model_files(folder: str) -> list[str]:
    """Return the files of cameras, images and, if they are there, points of the model in `folder`.

    They are the binary files if all are there, else the text files, else those that are there of either kind. Files of rigs
    and frames beside them say nothing that is needed.

    Raises:
        UserError: no cameras or no images.
    """
    parts = _parts_in(folder)
    if parts == (None, None, None):
        raise UserError(
            f'{folder}: found no COLMAP model, expected cameras.bin, images.bin and points3D.bin, or the same as .txt'
        )
    for part, path in zip(PARTS[:2], parts, strict=False):
        if path is None:
            missing = os.path.join(folder, part)
            raise UserError(
                f'{missing}.bin: no such file, and no {part}.txt; expected one beside the others of its model: copy the whole '
                'folder'
            )
    return [path for path in parts if path]


def _parts_in(folder: str) -> tuple[str | None, ...]:
    """Return the files of the three `PARTS` by the rule of `model_files`, None for those that are missing."""
    choices = [[os.path.join(folder, part + ending) for part in PARTS] for ending in READERS]
    for wanted in (3, 2):  # all; or cameras and images, from one program
        for paths in choices:
            if all(map(os.path.isfile, paths[:wanted])):
                return *paths[:2], next(filter(os.path.isfile, (paths[2], *(other[2] for other in choices))), None)
    return tuple(next(filter(os.path.isfile, paths), None) for paths in zip(*choices, strict=True))


def read_names(folder: str) -> list[str]:
    """Read the names of the images of the model in `folder` alone.

    Raises:
        UserError: as `read_model`.
    """
    path = model_files(folder)[1]
    try:
        return _reader(path).read_names(path)
    except OSError as error:
        raise _not_read(error) from error


def read_model(folder: str) -> Model:
    """Read and check the model in `folder`; memory and time are bounded by the sizes of its files.

    Raises:
        UserError: a missing, damaged or invalid file; the message names it.
    """
    cameras_path, images_path, *points_paths = model_files(folder)
    try:
        cameras = _reader(cameras_path).read_cameras(cameras_path)
        images = _reader(images_path).read_images(images_path)
        ids, points, colours, errors = _read_points(folder, points_paths)
    except OSError as error:
        raise _not_read(error) from error
    _expect_some_and_once(cameras_path, 'camera', 'id', [camera_id for camera_id, _ in cameras])
    _expect_some_and_once(images_path, 'image', 'id', [image[0] for image in images])
    _expect_some_and_once(images_path, 'image', 'name', [image[4] for image in images])
    by_id = dict(cameras)
    order = np.argsort(ids)
    ids = ids[order]
    made = (_make_image(images_path, by_id, *image[:5], _rows(ids, order, image[5])) for image in images)
    return Model(by_id, tuple(made), points, colours, errors)


def _reader(path: str) -> ModuleType:
    return READERS[os.path.splitext(path)[1]]


def _not_read(error: OSError) -> UserError:
    return UserError(f'{error.filename}: cannot be read ({error.strerror}); check the folder')


def _read_points(folder: str, paths: list[str]) -> tuple[np.ndarray, np.ndarray, np.ndarray, np.ndarray]:
    """Read and check the points, see `colmap_text.read_points`; none, which is logged, if there is no file of them."""
    if not paths:
        also = ' (points3D.ply is not read)' if os.path.isfile(os.path.join(folder, 'points3D.ply')) else ''
        LOG.warning('%s: has no points3D.bin or .txt%s, so where things are is not known before training', folder, also)
        return np.zeros(0, np.int64), np.zeros((0, 3)), np.zeros((0, 3), np.uint8), np.zeros(0)
    ids, points, colours, errors = _reader(paths[0]).read_points(paths[0])
    _check_points(paths[0], ids, points, errors)
    return ids, points, colours, errors


def _expect_some_and_once(path: str, thing: str, key: str, values: Sequence[int | str]) -> None:
    """Refuse a file without entries, or with two entries of the same id or name."""
    if not values:
        raise UserError(f'{path}: holds no {thing}, expected at least one; export the model anew')
    value, times = Counter(values).most_common(1)[0]
    if times > 1:
        raise UserError(f'{path}: has {times} {thing}s of the same {key}, {value!r}; expected each once: export the model anew')


def _check_points(path: str, ids: np.ndarray, points: np.ndarray, errors: np.ndarray) -> None:
    """Refuse points of the same id, and positions or errors that are not finite."""
    if (np.diff(np.sort(ids)) == 0).any():
        raise UserError(f'{path}: has several points of the same id; expected each once: export the model anew')
    bad = ~(np.isfinite(points).all(1) & np.isfinite(errors))
    if bad.any():
        raise UserError(f'{path}: the position or error of point {ids[bad][0]} is not finite; export the model anew')


def _rows(ids: np.ndarray, order: np.ndarray, seen: np.ndarray) -> np.ndarray:
    """Return the rows of the points with ids `seen`, ascending and unique; unknown ids (-1: no point) are dropped.

    `ids` are all points' ids, ascending; `order` are their rows.
    """
    seen = np.sort(seen)  # searchsorted is many times faster for sorted values
    place = np.searchsorted(ids, seen)
    seen, place = seen[place < len(ids)], place[place < len(ids)]
    rows = np.sort(order[place[ids[place] == seen]])
    return rows[np.diff(rows, prepend=-1) > 0]


def _make_image(
    path: str,
    cameras: dict[int, ModelCamera],
    image_id: int,
    quaternion: tuple[float, ...],
    translation: tuple[float, ...],
    camera_id: int,
    name: str,
    seen: np.ndarray,
) -> ModelImage:
    """Make one image after checking that its camera exists, its pose is finite and its name is within the folder of images."""
    where = f'{path}, image {name!r}'
    length = math.hypot(*quaternion)
    if not all(map(math.isfinite, (length, *translation))):
        raise UserError(f'{where}: its pose is not finite; export the model anew')
    if length < SHORTEST_QUATERNION:
        raise UserError(f'{where}: its quaternion has length {length:g}, expected 1; export the model anew')
    if camera_id not in cameras:
        raise UserError(
            f'{where}: refers to camera {camera_id}, expected one of cameras{os.path.splitext(path)[1]}; copy both anew'
        )
    if not name or any(ord(character) < 32 for character in name):
        raise UserError(f'{where}: expected a file name; export the model anew')
    if os.path.isabs(name) or os.path.normpath(name).split(os.sep)[0] == os.pardir:
        raise UserError(f'{where}: leaves the folder of images, expected a path within it; export the model anew')
    rotation = rotation_matrix(np.array(quaternion) / length)
    return ModelImage(image_id, name, camera_id, rotation, np.array(translation), seen)


def rotation_matrix(quaternion: np.ndarray) -> np.ndarray:
    """Compute R = (w^2 - |v|^2) I + 2 v v^T + 2 w [v]_x of a unit quaternion (w, v), [4] -> [3, 3]."""
    w, v = quaternion[0], quaternion[1:]
    cross = np.array([[0, -v[2], v[1]], [v[2], 0, -v[0]], [-v[1], v[0], 0]])
    return (w * w - v @ v) * np.eye(3) + 2 * np.outer(v, v) + 2 * w * cross
