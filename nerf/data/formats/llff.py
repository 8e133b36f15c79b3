"""Forward-facing photos in the format of the LLFF code: `poses_bounds.npy` beside folders of images.

A row of that file is a 3 x 5 matrix, row by row, and the nearest and farthest depth. The matrix is [down, right, back |
position | height, width, focal]: axes and position in the world, the last column in px of the full-size images. Rows have
no names: they belong to the images in the order of their names.
"""

import os

import numpy as np

from nerf.data.formats.masks import mask_beside
from nerf.data.formats.photos import Photo, assemble, image_folder, list_images, with_masks
from nerf.data.options import DataOptions
from nerf.data.scene import Scene
from nerf.errors import UserError

FILE = 'poses_bounds.npy'
COLUMNS = 17
MAX_ROWS = 100_000
MAX_PIXELS = 1_000_000  # of a side, or of a focal length


def holds(folder: str) -> bool:
    """Return whether the folder holds such a scene."""
    return os.path.isfile(os.path.join(folder, FILE))


def sources(folder: str, options: DataOptions) -> list[str]:
    """List the files that the scene is made from.

    Raises:
        UserError: as `load`, except for the contents of the images.
    """
    photos, _ = list_photos(folder, options)
    masks = {mask_beside(folder, photo.path) for photo in photos} - {None}
    return [os.path.join(folder, FILE), *(photo.path for photo in photos), *sorted(masks)]


def load(folder: str, options: DataOptions) -> Scene:
    """Load the scene in `folder`, in the frame of its type; every eighth image (or `test_every`th) from the first is held out.

    Raises:
        UserError: a missing, damaged or invalid file; the message names it.
    """
    photos, bounds = list_photos(folder, options)
    return assemble(os.path.join(folder, FILE), with_masks(folder, photos), options, bounds=bounds)


def list_photos(folder: str, options: DataOptions) -> tuple[list[Photo], np.ndarray]:
    """List the photos in the folder that `image_folder` chooses, and the depth bounds of each, [k, 2].

    Raises:
        UserError: a missing, damaged or invalid file, or different numbers of images and rows.
    """
    where = os.path.join(folder, FILE)
    rows = _read(where)
    matrices, bounds = rows[:, :15].reshape(-1, 3, 5), rows[:, 15:]
    heights, widths, focals = matrices[:, :, 4].T
    images = image_folder(folder, round(widths[0]), options)
    names = list_images(images)
    if len(names) != len(rows):
        raise UserError(f'{where}: has {len(rows)} rows, but {images} has {len(names)} images; expected one row for each image')
    photos = []
    for name, matrix, height, width, focal in zip(names, matrices, heights, widths, focals, strict=True):
        down, right, back, position = matrix[:, :4].T
        pose = np.stack([right, -down, back, position], axis=1)
        intrinsics = np.array([[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]])
        photos.append(Photo(name, os.path.join(images, name), pose, intrinsics, (round(width), round(height))))
    return photos, bounds


def _read(where: str) -> np.ndarray:
    """Read and check the rows, float64 [k, 17]."""
    if not os.path.isfile(where):
        raise UserError(f'{where}: no such file; give the folder that holds {FILE}')
    try:
        # Memory-mapped, so that a header that claims more than the file holds takes no memory.
        mapped = np.lib.format.open_memmap(where, mode='r')
    except Exception as error:  # damaged headers raise almost anything
        reason = ' '.join(str(error).split())
        raise UserError(f'{where}: is not an array of numbers ({reason}; pickles are never read); write it anew') from error
    if mapped.ndim != 2 or mapped.shape[1] != COLUMNS or not 1 <= len(mapped) <= MAX_ROWS or mapped.dtype.kind != 'f':
        raise UserError(
            f'{where}: found {mapped.dtype} of shape {mapped.shape}, expected floating point numbers of shape '
            f'(images, {COLUMNS}), at most {MAX_ROWS} images'
        )
    rows = np.array(mapped, np.float64)
    near, far = rows[:, 15:].T
    for i in np.flatnonzero(~np.isfinite(rows).all(axis=1)):
        raise UserError(f'{where}: row {i} has a value that is not finite; repair it, or remove it and its image')
    for i in np.flatnonzero(~((near > 0) & (near < far))):
        raise UserError(f'{where}: row {i} says that depths go from {near[i]:g} to {far[i]:g}, expected 0 < nearest < farthest')
    lenses = rows[:, 4:15:5]
    for i in np.flatnonzero(((lenses < 1) | (lenses > MAX_PIXELS)).any(axis=1)):
        height, width, focal = lenses[i]
        raise UserError(
            f'{where}: row {i} says height {height:g}, width {width:g}, focal {focal:g}, expected 1 to {MAX_PIXELS} px'
        )
    return rows
