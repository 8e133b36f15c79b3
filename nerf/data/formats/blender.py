"""Scenes in the format of NeRF's synthetic (Blender) data: `transforms_train.json`, of the other splits too, and images.

`transform_matrix` is camera-to-world with OpenGL's axes, as everywhere here. `camera_angle_x` is the full horizontal angle
of view in radians, so the focal length is 0.5 width / tan(0.5 camera_angle_x).
"""

import math
import os
from typing import NamedTuple

import numpy as np

from nerf.data.formats.json_files import path_within, pose_of, read_frame_list, read_json
from nerf.data.formats.masks import named_mask, read_masks
from nerf.data.images import read_shrunk, shrunk_size, size_of
from nerf.data.names import are_distinct, check_names
from nerf.data.options import DataOptions
from nerf.data.reading import fill_pixels, map_files
from nerf.data.scene import SPLITS, Scene, check_camera, checked, stack_cameras
from nerf.data.splits import thin_out
from nerf.errors import UserError

NEAR, FAR = 2.0, 6.0
ENDINGS = ('.png', '.jpg', '.jpeg', '.webp')


class Frame(NamedTuple):
    """One entry of a transforms file: name, split, image file, [R|t], angle of view (radians), transforms file, mask if any."""

    name: str
    split: str
    path: str
    pose: np.ndarray
    angle: float
    listed_in: str
    mask: str | None


def holds(folder: str) -> bool:
    """Return whether the folder holds such a scene."""
    return os.path.isfile(_json_path(folder, 'train'))


def load(folder: str, options: DataOptions) -> Scene:
    """Load the scene in `folder`: training, validation and test images, in this order; near is 2 and far 6 unless set.

    Raises:
        UserError: a missing, damaged or invalid file; the message names it.
    """
    frames = read_frames(folder, options)
    full_sizes = map_files(lambda frame: size_of(frame.path), frames)
    sizes = np.array([shrunk_size(frame.path, size, options) for frame, size in zip(frames, full_sizes, strict=True)])
    cameras = stack_cameras(
        np.stack([frame.pose for frame in frames]),
        _lenses(np.array([frame.angle for frame in frames]), sizes, np.array(full_sizes)),
        sizes,
        NEAR if options.near is None else options.near,
        FAR if options.far is None else options.far,
    )
    for i, frame in enumerate(frames):
        check_camera(f'{frame.name} in {frame.listed_in}', cameras.at(i))
    pixels = fill_pixels(folder, full_sizes, sizes, lambda i: read_shrunk(frames[i].path, options)[0])
    used = read_masks([frame.mask for frame in frames], [frame.path for frame in frames], sizes)
    names, split = tuple(frame.name for frame in frames), tuple(frame.split for frame in frames)
    return checked(Scene(names, split, pixels, cameras, used=used))


def sources(folder: str, options: DataOptions) -> list[str]:
    """List the files that the scene is made from.

    Raises:
        UserError: as `load`, except for the contents of the images.
    """
    frames = read_frames(folder, options)
    masks = {frame.mask for frame in frames} - {None}
    return sorted({frame.listed_in for frame in frames} | {frame.path for frame in frames} | masks)


def read_frames(folder: str, options: DataOptions) -> list[Frame]:
    """Read the frames of all splits that exist; of the test split, every `options.test_every`th.

    Raises:
        UserError: no such folder, no training split, or an invalid file.
    """
    if not os.path.isdir(folder):
        raise UserError(f'{folder}: no such folder; give the one that holds transforms_train.json')
    frames = []
    for split in SPLITS:
        if split == 'train' or os.path.isfile(_json_path(folder, split)):
            found = _read_split(folder, split)
            kept = thin_out(range(len(found)), [split] * len(found), options.test_every)
            frames += [found[i] for i in kept]
    return frames


def _json_path(folder: str, split: str) -> str:
    return os.path.join(folder, f'transforms_{split}.json')


def _read_split(folder: str, split: str) -> list[Frame]:
    where = _json_path(folder, split)
    content = read_json(where, 'camera_angle_x and frames')
    angle = content.get('camera_angle_x')
    if not isinstance(angle, (int, float)) or not 0 < angle < math.pi:
        raise UserError(f'{where}: found camera_angle_x {angle!r:.40}, expected an angle of view in radians, between 0 and pi')
    entries = read_frame_list(content, where)
    paths = [entry['file_path'] for entry in entries]
    poses = [pose_of(entry['transform_matrix'], f'{where}, frame {entry["file_path"]!r}') for entry in entries]
    files = [_image_path(folder, path, where) for path in paths]
    masks = [named_mask(folder, entry, f'{where}, frame {entry["file_path"]!r}') for entry in entries]
    names = _names(paths, where)
    check_names(names, [split] * len(names), where)
    return [
        Frame(f'{split}_{name}', split, file, pose, angle, where, mask)
        for name, file, pose, mask in zip(names, files, poses, masks, strict=True)
    ]


def _image_path(folder: str, path: str, where: str) -> str:
    """Return the image file of a frame, whose `file_path` has an ending or, as usual, none (.png)."""
    file = os.path.join(folder, path_within(path, where))
    return file if os.path.isfile(file) else f'{file}.png'


def _names(paths: list[str], where: str) -> list[str]:
    """Return names for the frames: their file names or, if these repeat (`a/rgb`, `b/rgb`), their whole paths."""
    whole = [_without_ending(os.path.normpath(path)) for path in paths]
    for names in ([os.path.basename(path) for path in whole], [path.replace(os.sep, '_') for path in whole]):
        if are_distinct(names):
            return names
    raise UserError(f'{where}: lists an image twice; expected each file_path once')


def _without_ending(path: str) -> str:
    stem, ending = os.path.splitext(path)
    return stem if ending.lower() in ENDINGS else path


def _lenses(angles: np.ndarray, sizes: np.ndarray, full_sizes: np.ndarray) -> np.ndarray:
    """Compute intrinsics [k, 3, 3] of images of `sizes` (width, height) [k, 2] that were `full_sizes` on disk.

    Pixels are square on disk. Width and height are rounded separately, so each axis has its own ratio.
    """
    focal = 0.5 * full_sizes[:, 0] / np.tan(0.5 * angles)
    lenses = np.tile(np.eye(3), (len(sizes), 1, 1))
    lenses[:, [0, 1], [0, 1]] = focal[:, None] * sizes / full_sizes
    lenses[:, :2, 2] = sizes / 2
    return lenses
