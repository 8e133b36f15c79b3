"""COLMAP's sparse models: cameras, posed images and points, from binary or text files that may be damaged.

COLMAP's own reader is not used, as it trusts the counts in a damaged file.
"""

import dataclasses
import math
import os
from collections import Counter
from collections.abc import Sequence

import numpy as np

from nerf.data.formats import colmap_binary, colmap_text
from nerf.data.formats.colmap_cameras import ModelCamera
from nerf.errors import UserError

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
        points: [n, 3], float64, world of the file; n may be 0.
        point_colours: [n, 3], uint8, sRGB.
        point_errors: mean reprojection error, float64 [n], px; -1: not computed.
    """

    cameras: dict[int, ModelCamera]
    images: tuple[ModelImage, ...]
    points: np.ndarray
    point_colours: np.ndarray
    point_errors: np.ndarray


def model_files(folder: str) -> list[str]:
    """Return the three files of the model in `folder`: the binary files or, if one of these is missing, the text files.

    Raises:
        UserError: neither set is complete.
    """
    choices = [[os.path.join(folder, part + ending) for part in PARTS] for ending in READERS]
    for paths in choices:
        if all(map(os.path.isfile, paths)):
            return paths
    for paths in choices:
        if any(map(os.path.isfile, paths)):
            missing = next(path for path in paths if not os.path.isfile(path))
            raise UserError(f'{missing}: no such file, expected it beside the others of its model; copy the whole folder')
    raise UserError(f'{folder}: found no COLMAP model, expected cameras.bin, images.bin and points3D.bin, or the same as .txt')


def read_model(folder: str) -> Model:
    """Read and check the model in `folder`; memory and time are bounded by the sizes of its files.

    Raises:
        UserError: a missing, damaged or invalid file; the message names it.
    """
    cameras_path, images_path, points_path = model_files(folder)
    reader = READERS[os.path.splitext(cameras_path)[1]]
    try:
        cameras = reader.read_cameras(cameras_path)
        images = reader.read_images(images_path)
        ids, points, colours, errors = reader.read_points(points_path)
    except OSError as error:
        raise UserError(f'{error.filename}: cannot be read ({error.strerror}); check the folder') from error
    _expect_some_and_once(cameras_path, 'camera', 'id', [camera_id for camera_id, _ in cameras])
    _expect_some_and_once(images_path, 'image', 'id', [image[0] for image in images])
    _expect_some_and_once(images_path, 'image', 'name', [image[4] for image in images])
    _check_points(points_path, ids, points, errors)
    by_id = dict(cameras)
    order = np.argsort(ids)
    ids = ids[order]
    made = (_make_image(images_path, by_id, *image[:5], _rows(ids, order, image[5])) for image in images)
    return Model(by_id, tuple(made), points, colours, errors)


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
