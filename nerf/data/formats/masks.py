"""Masks of photos: white is used, black is left out of the loss and of the metrics.

A mask is named by its frame (`mask_path`, nerfstudio), or lies in a folder `masks` beside `images` under the name of its
photo: `0001.jpg.png` (COLMAP) or `0001.png`. For photos of `images_2`, `masks_2` comes first. Where a mask has another size
than its photo as it is read, it is resized by nearest neighbour.
Alpha is another matter: it says how much of a pixel a surface covers, and is trained on.
"""

import os
import re
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from nerf.data.formats.listed_paths import SceneFiles
from nerf.data.image_kinds import ENDINGS, open_image
from nerf.data.images import ORIENTATION, read_grey, size_of
from nerf.data.reading import images_of, on_all_cores
from nerf.errors import UserError

BOTH_CASES = tuple(each for ending in ENDINGS for each in (ending, ending.upper()))
HALF = 128  # of 255: from here on a pixel is used
# How an image lies that its EXIF orientation turns by a right angle, as a function of [h, w].
TURNED = {
    5: np.transpose,
    6: lambda mask: np.rot90(mask, -1),
    7: lambda mask: np.rot90(np.transpose(mask), 2),
    8: np.rot90,
}


def named_mask(files: SceneFiles, said: Mapping[str, Any], where: str) -> str | None:
    """Return the file that a frame's `mask_path` names; None without one.

    Raises:
        UserError: it is no path within the scene folder, or not there.
    """
    path = said.get('mask_path')
    if path is None:
        return None
    if not isinstance(path, str):
        raise UserError(f'{where}: found mask_path {path!r:.40}, expected the path of an image')
    # The end of a relative path may be that of a photo.
    file = files.find(files.locate([path], where, may_relative_move=False)[0])
    if file is None:
        raise UserError(f'{where}: its mask_path {path!r} is not there; expected the mask, or no mask_path')
    return file


def mask_beside(folder: str, path: str) -> str | None:
    """Find the mask of the photo at `path`, in `images` or the like of the scene in `folder`; None if there is none."""
    first, _, name = os.path.relpath(path, folder).partition(os.sep)
    match = re.fullmatch(r'images(_[1-9]\d*)?', first)
    if not match or not name:
        return None
    stem = os.path.splitext(name)[0]
    roots = dict.fromkeys(os.path.join(folder, f'masks{ending}') for ending in (match[1] or '', ''))
    files = (os.path.join(root, each + ending) for root in roots for each in (name, stem) for ending in BOTH_CASES)
    return next(filter(os.path.isfile, files), None)


def read_masks(masks: Sequence[str | None], photos: Sequence[str], sizes: np.ndarray) -> np.ndarray | None:
    """Read where photos of (width, height) `sizes` [k, 2] px are used, `Scene.used`: all of those without a mask.

    None if no photo has a mask.

    Raises:
        UserError: as `read_mask`.
    """
    if not any(masks):
        return None
    used = np.ones(int(np.prod(sizes, axis=1, dtype=np.int64).sum()), bool)
    places = images_of(used, sizes)
    masked = [i for i, mask in enumerate(masks) if mask is not None]

    def fill(i: int) -> None:
        places[masked[i]][...] = read_mask(masks[masked[i]], photos[masked[i]], sizes[masked[i]])

    on_all_cores('reading masks', fill, np.array([size_of(masks[i]) for i in masked]))
    return used


def read_mask(path: str, photo: str, size: Sequence[int]) -> np.ndarray:
    """Read where a photo is used, bool [height, width], at its (width, height) `size` once it is read, px.

    If the file is stored as the camera lay, and the photo at `photo` was turned by its EXIF orientation, the mask is too.

    Raises:
        UserError: it cannot be read, has another shape than its photo, or leaves nothing of it.
    """
    grey = read_grey(path)
    if not _is_shaped(grey, size):
        grey = TURNED.get(_orientation(photo), lambda mask: mask)(grey)
    if not _is_shaped(grey, size):
        raise UserError(
            f'{path}: found {grey.shape[1]} x {grey.shape[0]} px, expected the shape of its photo, {size[0]} x {size[1]} or a '
            'multiple; make it from the same image'
        )
    width, height = size
    used = grey[_middles(grey.shape[0], height)][:, _middles(grey.shape[1], width)] >= HALF
    if not used.any():
        raise UserError(
            f'{path}: leaves nothing of its photo at {width} x {height} px (its largest value is {grey.max()} of 255), '
            'expected white where it is used: mend the mask, or leave the photo out'
        )
    return used


def _middles(full: int, count: int) -> np.ndarray:
    """Return the index of the pixel in the middle of each of `count` equal parts of `full` pixels, int64 [count]."""
    return (2 * np.arange(count) + 1) * full // (2 * count)


def _is_shaped(grey: np.ndarray, size: Sequence[int]) -> bool:
    height, width = grey.shape
    return abs(height - width * size[1] / size[0]) <= max(2.0, 0.01 * height, height / size[1])


def _orientation(path: str) -> int:
    """Return the EXIF orientation of an image, 1 if it says none."""
    try:
        with open_image(path) as image:
            return int(image.getexif().get(ORIENTATION, 1))
    except Exception:  # damaged EXIF raises almost anything; the photo itself was read
        return 1
