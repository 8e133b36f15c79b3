"""Scenes that hold each view at several sizes, as the multiscale Blender data of mip-NeRF: `metadata.json` and its PNGs.

The file has an object for each split, of lists with an entry for each image. `cam2world` is camera_to_world and
`focal` is in px; the principal point is the centre of the image. `pix2cam` is the inverse of these intrinsics, y and z
negated, for pixel centres at half integers: it is redundant and only checked. `lossmult` is how many pixels of the full
size one pixel covers, 4^d where the image is 2^d times smaller, and becomes `Scene.weights`. `label` is d.

The output of `python -m nerf.data.multiscale` and that of mip-NeRF's own script are read.
"""

import os
import re
from typing import Any, NamedTuple

import numpy as np

from nerf.data.formats.json_files import path_within, read_json
from nerf.data.images import premultiply, read_image, size_of
from nerf.data.names import are_distinct, check_names
from nerf.data.options import DataOptions
from nerf.data.reading import fill_pixels, map_files
from nerf.data.scene import SPLITS, Scene, check_camera, checked, stack_cameras
from nerf.data.splits import thin_out
from nerf.errors import UserError

FILE = 'metadata.json'
SHAPES = {'cam2world': (4, 4), 'pix2cam': (3, 3), 'width': (), 'height': (), 'focal': (), 'lossmult': (), 'near': (), 'far': ()}
EXPECTED = 'lists of images and cameras for each split'


class Entry(NamedTuple):
    """One image: name, split, file, and the numbers (float64) that `SHAPES` lists."""

    name: str
    split: str
    path: str
    numbers: dict[str, np.ndarray]


def holds(folder: str) -> bool:
    """Return whether the folder holds such a scene; a damaged metadata.json counts, and is refused by its reader."""
    where = os.path.join(folder, FILE)
    if not os.path.isfile(where):
        return False
    try:
        train = read_json(where, EXPECTED).get('train')
    except UserError:
        return True
    return isinstance(train, dict) and {'file_path', *SHAPES} <= train.keys()


def load(folder: str, options: DataOptions) -> Scene:
    """Load the scene in `folder`: training, validation and test images, in this order, at all their sizes.

    near and far are the file's unless set; pixels are weighted by the area they cover unless `options.area_weighting` is
    False.

    Raises:
        UserError: a missing, damaged or invalid file, named by the message; or a factor or width is set.
    """
    if options.factor != 1 or options.width is not None:
        asked = f'width={options.width}' if options.width is not None else f'factor={options.factor}'
        raise UserError(f'{folder}: holds each view at several sizes already, but data.{asked} was asked for; leave it out')
    entries = read_entries(folder, options)
    numbers = {key: np.stack([entry.numbers[key] for entry in entries]) for key in SHAPES}
    sizes = np.array(map_files(_size_of, entries))
    cameras = stack_cameras(
        numbers['cam2world'][:, :3],
        _lenses(numbers),
        sizes,
        numbers['near'] if options.near is None else options.near,
        numbers['far'] if options.far is None else options.far,
    )
    for i, entry in enumerate(entries):
        check_camera(f'{entry.name} in {os.path.join(folder, FILE)}', cameras.at(i))
    pixels = fill_pixels(folder, sizes, sizes, lambda i: premultiply(read_image(entries[i].path)))
    names, split = tuple(entry.name for entry in entries), tuple(entry.split for entry in entries)
    with np.errstate(over='ignore'):  # overflow to infinity is refused by `checked`
        weights = numbers['lossmult'].astype(np.float32) if options.area_weighting else None
    try:
        return checked(Scene(names, split, pixels, cameras, weights))
    except UserError as error:
        raise UserError(f'{os.path.join(folder, FILE)}: {error}') from error


def sources(folder: str, options: DataOptions) -> list[str]:
    """List the files that the scene is made from.

    Raises:
        UserError: as `load`, except for the contents of the images.
    """
    return [os.path.join(folder, FILE), *sorted(entry.path for entry in read_entries(folder, options))]


def read_entries(folder: str, options: DataOptions) -> list[Entry]:
    """Read all images of the splits that exist; of the test views, every `options.test_every`th with all its sizes.

    Raises:
        UserError: no such file, no training split, or an invalid file.
    """
    where = os.path.join(folder, FILE)
    content = read_json(where, EXPECTED)
    entries = []
    for split in SPLITS:
        if split == 'train' or split in content:
            entries += _read_split(folder, split, content.get(split))
    views = list(dict.fromkeys(_view(entry) for entry in entries if entry.split == 'test'))
    kept = set(thin_out(views, ['test'] * len(views), options.test_every))
    return [entry for entry in entries if entry.split != 'test' or _view(entry) in kept]


def _view(entry: Entry) -> str:
    """Return the name that all sizes of a view share: `test_r_0` of `test_r_0_d3`."""
    return re.sub(r'_d\d+$', '', entry.name)


def _read_split(folder: str, split: str, table: Any) -> list[Entry]:
    where = f'{os.path.join(folder, FILE)}, {split}'
    if not isinstance(table, dict):
        raise UserError(f'{where}: found no lists of images, expected {", ".join(["file_path", *SHAPES])}')
    paths = table.get('file_path')
    if not isinstance(paths, list) or not paths or not all(isinstance(path, str) for path in paths):
        raise UserError(f'{where}: expected a list file_path with the name of each image')
    columns = {key: _column(table.get(key), (len(paths), *shape), f'{where}: {key}') for key, shape in SHAPES.items()}
    numbers = [{key: column[i] for key, column in columns.items()} for i in range(len(paths))]
    for path, row in zip(paths, numbers, strict=True):
        _check_row(row, f'{where}, {path}')
    files = [os.path.join(folder, path_within(path, where)) for path in paths]
    names = _names(paths, where)
    check_names(names, [split] * len(names), where)
    return [Entry(f'{split}_{name}', split, file, row) for name, file, row in zip(names, files, numbers, strict=True)]


def _column(values: Any, shape: tuple[int, ...], what: str) -> np.ndarray:
    """Convert one list of the file to float64 and check that it has this shape and is finite."""
    try:
        column = np.array(values)
    except ValueError:  # rows of different lengths
        column = np.array(None)
    if column.shape != shape or column.dtype.kind not in 'if':
        found = f'{column.dtype} {column.shape}' if column.dtype.kind in 'if' else 'something else'
        raise UserError(f'{what}: expected numbers of shape {shape}, found {found}; write the file anew')
    if not np.isfinite(column).all():
        raise UserError(f'{what}: has a value that is not finite; write the file anew')
    return column.astype(np.float64)


def _check_row(row: dict[str, np.ndarray], where: str) -> None:
    """Refuse invalid sizes and poses, and a pix2cam that contradicts the intrinsics."""
    width, height, focal = row['width'], row['height'], row['focal']
    if width < 1 or height < 1 or width % 1 or height % 1 or focal <= 0:
        raise UserError(f'{where}: found {width:g} x {height:g} px and focal {focal:g}, expected whole and positive numbers')
    if not np.allclose(row['cam2world'][3], [0, 0, 0, 1]):
        raise UserError(f'{where}: the last row of cam2world is {row["cam2world"][3].tolist()}, expected [0, 0, 0, 1]')
    expected = [[1 / focal, 0, -width / 2 / focal], [0, -1 / focal, height / 2 / focal], [0, 0, -1]]
    if not np.allclose(row['pix2cam'], expected, rtol=1e-3, atol=1e-6):
        raise UserError(f'{where}: pix2cam is not what focal, width and height say; expected the principal point in the centre')


def _names(paths: list[str], where: str) -> list[str]:
    """Return names for the images: their file names or, if these repeat, their whole paths, without ending."""
    whole = [os.path.splitext(os.path.normpath(path))[0] for path in paths]
    for names in ([os.path.basename(path) for path in whole], [path.replace(os.sep, '_') for path in whole]):
        if are_distinct(names):
            return names
    raise UserError(f'{where}: lists an image twice; expected each file_path once')


def _size_of(entry: Entry) -> tuple[int, int]:
    """Return the (width, height) of one image, px, and check it against `FILE`."""
    size = size_of(entry.path)
    expected = entry.numbers['width'], entry.numbers['height']
    if size != expected:
        found, said = (f'{width:.0f} x {height:.0f}' for width, height in (size, expected))
        raise UserError(f'{entry.path}: found {found} px, expected {said} by {FILE}; convert the scene anew')
    return size


def _lenses(numbers: dict[str, np.ndarray]) -> np.ndarray:
    """Compute intrinsics [k, 3, 3]: square pixels, the principal point in the centre."""
    lenses = np.tile(np.eye(3), (len(numbers['focal']), 1, 1))
    lenses[:, 0, 0] = lenses[:, 1, 1] = numbers['focal']
    lenses[:, 0, 2], lenses[:, 1, 2] = numbers['width'] / 2, numbers['height'] / 2
    return lenses
