"""Scenes of the DeepVoxels data: objects rendered on white, with a pose file for each image and one intrinsics file.

A scene's splits are `train`, `validation` and `test` in the scene's folder or, as in the public archive, the scene is a folder
in each of these. A split holds `rgb/000000.png`, `pose/000000.txt` (camera-to-world, 16 numbers, axes as OpenCV's: y down,
looking along +z) and `intrinsics.txt`:

    f c_x c_y 0     px
    x y z           the centre of the object
    near plane
    scale
    height width    of the image plane of f, c_x and c_y, px; images may have another size
    0               1 if the poses are world-to-camera; may be missing
"""

import logging
import os
from typing import NamedTuple

import numpy as np

from nerf.data.formats.photos import Photo, list_images, read_photos
from nerf.data.image_kinds import no_images
from nerf.data.images import size_of
from nerf.data.names import check_names
from nerf.data.options import DataOptions
from nerf.data.placement import frame_of_file
from nerf.data.poses import Frame
from nerf.data.scene import Scene, checked
from nerf.data.splits import thin_out
from nerf.errors import UserError
from nerf.host.untrusted import MissingError, UnreadableError, decode_text, read_bytes

LOG = logging.getLogger('nerf')
LENS = 'intrinsics.txt'
FOLDERS = {'train': 'train', 'val': 'validation', 'test': 'test'}
REACH = 1.0  # radius of the object, in the unit of the file
MAX_BYTES = 2**16  # of a text file; real files have less than 300


class Setup(NamedTuple):
    """Contents of an intrinsics file: f, (c_x, c_y) and (width, height) in px, object centre, and direction of the poses."""

    focal: float
    centre: np.ndarray
    size: np.ndarray
    middle: np.ndarray
    is_world_to_camera: bool


def holds(folder: str) -> bool:
    """Return whether the folder holds such a scene."""
    return _is_split(_split_folder(folder, 'train'))


def sources(folder: str, options: DataOptions) -> list[str]:
    """List the files that the scene is made from.

    Raises:
        UserError: no training split, or an image without a pose.
    """
    pairs = [pair for split in _splits(folder) for pair in _list_split(folder, split, options)]
    return [_lens_file(folder, split) for split in _splits(folder)] + [path for pair in pairs for path in pair]


def load(folder: str, options: DataOptions) -> Scene:
    """Load the scene in `folder`: training, validation and test images, in this order, the object's centre at the origin.

    The file's frame is moved there (unless `normalise` is False), but not rotated or scaled: near and far are the cameras'
    mean distance to the centre - 1 and + 1 unless set, as in the original NeRF code, so the file's unit matters.

    Raises:
        UserError: a missing, damaged or invalid file; the message names it.
    """
    setups = {split: _read_setup(_lens_file(folder, split)) for split in _splits(folder)}
    photos = [
        _photo(image, pose, split, setups[split]) for split in setups for image, pose in _list_split(folder, split, options)
    ]
    names = [f'{photo.split}_{os.path.splitext(os.path.basename(photo.name))[0]}' for photo in photos]
    check_names(names, [photo.split for photo in photos], folder)
    pixels, _, cameras = read_photos(folder, photos, options)
    poses = np.stack([photo.pose for photo in photos])
    middle = setups['train'].middle
    distance = np.linalg.norm(poses[:, :, 3] - middle, axis=1).mean()
    frame = Frame(np.eye(3), middle, 1.0) if options.normalise else frame_of_file(poses)
    near = max(distance - REACH, 0.0) if options.near is None else options.near
    far = distance + REACH if options.far is None else options.far
    cameras = cameras.replace(
        camera_to_world=frame.poses(poses).astype(np.float32),
        near=np.full(len(photos), near, np.float32),
        far=np.full(len(photos), far, np.float32),
    )
    return checked(Scene(tuple(names), tuple(photo.split for photo in photos), pixels, cameras, frame=frame))


def _is_split(folder: str) -> bool:
    return os.path.isfile(os.path.join(folder, LENS)) and all(os.path.isdir(os.path.join(folder, s)) for s in ('rgb', 'pose'))


def _split_folder(folder: str, split: str) -> str:
    """Return the folder of a split; `folder` is the scene's or, in the layout of the archive, the scene's in `train`."""
    above, scene = os.path.split(os.path.abspath(folder))
    if os.path.basename(above) == FOLDERS['train'] and _is_split(folder):
        return os.path.join(os.path.dirname(above), FOLDERS[split], scene)
    return os.path.join(folder, FOLDERS[split])


def _splits(folder: str) -> list[str]:
    """List the splits that exist; the training split, which is required, is always listed."""
    return [split for split in FOLDERS if split == 'train' or os.path.isdir(_split_folder(folder, split))]


def _lens_file(folder: str, split: str) -> str:
    """Return the intrinsics file of the split or, if it has none, that of the training split."""
    own = os.path.join(_split_folder(folder, split), LENS)
    return own if os.path.isfile(own) else os.path.join(_split_folder(folder, 'train'), LENS)


def _list_split(folder: str, split: str, options: DataOptions) -> list[tuple[str, str]]:
    """List the image files of a split, each with its pose file; of test images every `test_every`th."""
    rgb, pose = (os.path.join(_split_folder(folder, split), name) for name in ('rgb', 'pose'))
    for each in (rgb, pose):
        if not os.path.isdir(each):
            raise UserError(f'{each}: no such folder; expected one with a file for each image of the split')
    names = list_images(rgb)
    if not names:
        raise no_images(rgb, os.listdir(rgb))
    pairs = [(os.path.join(rgb, name), os.path.join(pose, f'{os.path.splitext(name)[0]}.txt')) for name in names]
    for image, file in pairs:
        if not os.path.isfile(file):
            raise UserError(f'{image}: has no pose, expected {file}; add it, or remove the image')
    left = sum(name.endswith('.txt') and not name.startswith('.') for name in os.listdir(pose)) - len(pairs)
    if left > 0:
        LOG.warning('%s: %d poses without images are not used', pose, left)
    return thin_out(pairs, [split] * len(pairs), options.test_every)


def _photo(image: str, pose_file: str, split: str, setup: Setup) -> Photo:
    """Make the photo of one image, with its pose and with intrinsics for its size."""
    numbers = np.concatenate([*_numbers(pose_file), []])
    if len(numbers) != 16:
        raise UserError(f'{pose_file}: found {len(numbers)} numbers, expected the 16 of a camera-to-world matrix')
    pose = numbers.reshape(4, 4)
    if not np.allclose(pose[3], [0, 0, 0, 1]):
        raise UserError(f'{pose_file}: its last row is {pose[3].tolist()}, expected 0 0 0 1')
    if setup.is_world_to_camera:
        pose = np.concatenate([pose[:3, :3].T, -pose[:3, :3].T @ pose[:3, 3:]], axis=1)
    size = size_of(image)
    name = os.path.join(FOLDERS[split], os.path.basename(image))
    return Photo(name, image, pose[:3] * [1, -1, -1, 1], _lens(setup, np.array(size)), size, split=split)


def _lens(setup: Setup, size: np.ndarray) -> np.ndarray:
    """Compute K, [3, 3], px, for an image of `size` (width, height).

    An image of another shape is the central part of the file's image plane, rescaled: the public images are 512 x 512 px,
    their intrinsics are for 640 x 480. A principal point within half a pixel of the centre is taken for the centre: files
    differ in whether the first pixel's centre is at 0 or at 0.5 (319.5 of 640, 256 of 512).
    """
    ratio = (size / setup.size).max()
    off = setup.centre - setup.size / 2
    centre = size / 2 + ratio * np.where(np.abs(off) <= 0.5, 0, off)
    return np.array([[ratio * setup.focal, 0, centre[0]], [0, ratio * setup.focal, centre[1]], [0, 0, 1]])


def _read_setup(where: str) -> Setup:
    lines = _numbers(where)
    found = [len(line) for line in lines]
    if len(found) < 5 or any(n < least for n, least in zip(found, (3, 3, 1, 1, 2), strict=False)):
        raise UserError(f'{where}: found lines of {found} numbers, expected 4 (f cx cy 0), 3, 1, 1 and 2 (height width)')
    (focal, *centre), middle, (height, width) = lines[0][:3], lines[1][:3], lines[4][:2]
    if not (focal > 0 and height >= 1 and width >= 1):
        raise UserError(f'{where}: found focal length {focal:g} and size {width:g} x {height:g}, expected positive px')
    is_world_to_camera = len(lines) > 5 and lines[5][0] != 0
    return Setup(focal, np.array(centre), np.array([width, height]), middle, is_world_to_camera)


def _numbers(where: str) -> list[np.ndarray]:
    """Read the numbers of a text file, which must be finite, float64, line by line; empty lines are skipped."""
    try:
        text = decode_text(read_bytes(where, MAX_BYTES))
        lines = [np.array([float(word) for word in line.split()]) for line in text.splitlines() if line.strip()]
    except MissingError:
        raise UserError(f'{where}: no such file; expected it beside the images') from None
    except (UnreadableError, ValueError) as error:
        raise UserError(f'{where}: expected numbers only ({error}); write it anew') from error
    if not all(np.isfinite(line).all() for line in lines):
        raise UserError(f'{where}: has a value that is not finite; repair it')
    return lines
