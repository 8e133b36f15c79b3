"""The `tiny_nerf_data.npz` of the NeRF authors' notebook: small images on black, poses and one focal length."""

import dataclasses
import os

import numpy as np

from nerf.data.formats.pose_matrices import without_scale
from nerf.data.images import resized
from nerf.data.options import DataOptions
from nerf.data.placement import frame_of_file
from nerf.data.scene import Scene, make_scene, stack_cameras
from nerf.data.splits import hold_out, thin_out
from nerf.errors import UserError
from nerf.host.untrusted import ArrayHeader, MissingError, UnreadableError, read_arrays

FILE = 'tiny_nerf_data.npz'
NEAR, FAR = 2.0, 6.0
TRAIN_IMAGES = 100  # the notebook trains on the first hundred
MAX_BYTES = 2**31  # uncompressed, in all; the real file has 13 MB


def holds(path: str) -> bool:
    """Return whether `path` is such a file or a folder that holds it."""
    return os.path.isfile(file_of(path))


def file_of(path: str) -> str:
    """Return the npz file: `path` itself or, if `path` is a folder, the file in it."""
    return path if path.endswith('.npz') else os.path.join(path, FILE)


def sources(path: str, options: DataOptions) -> list[str]:
    """List the files that the scene is made from."""
    return [file_of(path)]


def load(path: str, options: DataOptions) -> Scene:
    """Load the scene in `path`; images 0-99 are training views, later ones are held out.

    Of 100 or fewer, every eighth (`test_every`th) is held out.

    Raises:
        UserError: the file is missing or damaged, or holds pickled objects or unexpected arrays.
    """
    file = file_of(path)
    colours, poses, focal = _read(file)
    split = _splits(len(colours), options)
    kept = [i for i, name in enumerate(split) if name]
    opaque = np.concatenate([np.rint(colours[kept] * 255), np.full_like(colours[kept][..., :1], 255)], axis=-1).astype(np.uint8)
    images = [resized(image, options) for image in opaque]
    sizes = np.array([image.shape[1::-1] for image in images])
    lenses = np.tile(np.eye(3), (len(images), 1, 1))
    lenses[:, [0, 1], [0, 1]] = focal * sizes / opaque.shape[2:0:-1]
    lenses[:, :2, 2] = sizes / 2
    near, far = NEAR if options.near is None else options.near, FAR if options.far is None else options.far
    unscaled = without_scale(file, poses[kept, :3].astype(np.float64))
    frame = frame_of_file(unscaled)
    cameras = stack_cameras(frame.poses(unscaled), lenses, sizes, near, far)
    try:
        scene = make_scene([f'{split[i]}_{i:03d}' for i in kept], [split[i] for i in kept], images, cameras)
        return dataclasses.replace(scene, frame=frame)
    except UserError as error:
        raise UserError(f'{file}: {error}') from error


def _splits(count: int, options: DataOptions) -> list[str]:
    """Return the split of each image; '' for test images that are left out."""
    if count > TRAIN_IMAGES:
        split = ['train'] * TRAIN_IMAGES + ['test'] * (count - TRAIN_IMAGES)
        kept = set(thin_out(range(count), split, options.test_every))
        return [each if i in kept else '' for i, each in enumerate(split)]
    return hold_out(count, options.test_every)


def _read(file: str) -> tuple[np.ndarray, np.ndarray, float]:
    """Read and check the images [n, h, w, 3] in [0, 1], the poses [n, 4, 4] and the focal length, px."""

    def check(headers: dict[str, ArrayHeader]) -> None:
        _check_headers(file, headers)

    try:
        arrays = read_arrays(file, MAX_BYTES, check)
    except MissingError:
        raise UserError(f'{file}: no such file; give the folder that holds {FILE}') from None
    except UnreadableError as error:
        raise UserError(f'{file}: {error} (pickled files are never read); download it again') from error
    images, poses, focal = arrays['images'], arrays['poses'], float(arrays['focal'])
    if not (images.min() >= 0 and images.max() <= 1):
        raise UserError(f'{file}: images from {images.min()} to {images.max()} found, expected colours from 0 to 1')
    return images, poses, focal


def _check_headers(file: str, headers: dict[str, ArrayHeader]) -> None:
    """Refuse unexpected arrays by their headers, before memory is allocated for them."""
    for name in ('images', 'poses', 'focal'):
        if name not in headers:
            raise UserError(f'{file}: lacks the array {name!r}; expected images, poses and focal')
        dtype = headers[name].dtype
        if dtype.kind not in ('f' if name == 'images' else 'fiu'):
            raise UserError(f'{file}: {name} are of type {dtype}, expected floating point numbers')
    images, poses, focal = (headers[name].shape for name in ('images', 'poses', 'focal'))
    if len(images) != 4 or images[3] != 3 or 0 in images:
        raise UserError(f'{file}: images of shape {images} found, expected [count, height, width, 3]')
    if poses != (images[0], 4, 4):
        raise UserError(f'{file}: poses of shape {poses} found, expected {(images[0], 4, 4)}, one for each image')
    if focal != ():
        raise UserError(f'{file}: focal of shape {focal} found, expected one number')
