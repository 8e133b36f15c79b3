"""Scenes in the format of NeRF's synthetic (Blender) data: `transforms_train.json`, of the other splits too, and images.

`transform_matrix` is camera-to-world with OpenGL's axes, as everywhere here. `camera_angle_x` is the full horizontal angle
of view in radians, so the focal length is 0.5 width / tan(0.5 camera_angle_x); a frame's own takes precedence.
"""

import os
import re
from collections import ChainMap
from typing import Any, NamedTuple

import numpy as np

from nerf.data.formats.json_files import pose_of, read_frame_list, read_json
from nerf.data.formats.listed_paths import SceneFiles
from nerf.data.formats.masks import named_mask, read_masks
from nerf.data.formats.photos import check_principal_point
from nerf.data.formats.pose_matrices import without_scale
from nerf.data.formats.transforms_cameras import SAYS_INTRINSICS, read_camera
from nerf.data.image_kinds import ENDINGS
from nerf.data.images import read_shrunk, shrunk_size, size_of
from nerf.data.names import are_distinct, check_names
from nerf.data.options import DataOptions
from nerf.data.placement import frame_of_file
from nerf.data.reading import fill_pixels, map_files
from nerf.data.scene import SPLITS, Scene, check_camera, checked, stack_cameras
from nerf.data.splits import thin_out
from nerf.errors import UserError

NEAR, FAR = 2.0, 6.0


class Frame(NamedTuple):
    """One entry of a transforms file: name, split, image, [R|t], its values before the file's, transforms file, mask if any."""

    name: str
    split: str
    path: str
    pose: np.ndarray
    said: ChainMap[str, Any]
    listed_in: str
    mask: str | None

    def intrinsics(self, size: tuple[int, int]) -> np.ndarray:
        """Compute K, [3, 3], px, for an image of `size` (width, height).

        w and h count only if there are intrinsics in px: an angle of view needs no size, and pixels are square.

        Raises:
            UserError: no angle of view, an invalid number, or a distorted image.
        """
        name = f'{self.name} in {self.listed_in}'
        said = self.said.new_child({'w': None, 'h': None} if SAYS_INTRINSICS.isdisjoint(self.said) else {})
        intrinsics, distortion, is_fisheye = read_camera(said, size, name)
        if is_fisheye or distortion.any():
            raise UserError(f'{name}: found a distorted image, which this format has not; set --config.data.format=transforms')
        return intrinsics


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
    lenses = np.stack([frame.intrinsics(size) for frame, size in zip(frames, full_sizes, strict=True)])
    # Width and height are rounded separately, so each axis has its own ratio.
    ratios = np.concatenate([sizes / np.array(full_sizes), np.ones((len(sizes), 1))], axis=1)
    poses = without_scale(folder, np.stack([frame.pose for frame in frames]))
    world = frame_of_file(poses)
    cameras = stack_cameras(
        world.poses(poses),
        lenses * ratios[:, :, None],
        sizes,
        NEAR if options.near is None else options.near,
        FAR if options.far is None else options.far,
    )
    for i, frame in enumerate(frames):
        check_camera(f'{frame.name} in {frame.listed_in}', cameras.at(i))
        check_principal_point(f'{frame.name} in {frame.listed_in}', lenses[i], full_sizes[i])
    pixels = fill_pixels(folder, full_sizes, sizes, lambda i: read_shrunk(frames[i].path, options)[0])
    used = read_masks([frame.mask for frame in frames], [frame.path for frame in frames], sizes)
    names, split = tuple(frame.name for frame in frames), tuple(frame.split for frame in frames)
    return checked(Scene(names, split, pixels, cameras, frame=world, used=used))


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
    files, frames = SceneFiles(folder), []
    for split in SPLITS:
        if split == 'train' or os.path.isfile(_json_path(folder, split)):
            found = _read_split(files, split)
            kept = thin_out(range(len(found)), [split] * len(found), options.test_every)
            frames += [found[i] for i in kept]
    files.say_moved(folder)
    return frames


def _json_path(folder: str, split: str) -> str:
    return os.path.join(folder, f'transforms_{split}.json')


def _read_split(files: SceneFiles, split: str) -> list[Frame]:
    where = _json_path(files.folder, split)
    content = read_json(where, 'camera_angle_x and frames')
    entries = read_frame_list(content, where, may_be_empty=split != 'train')
    paths = files.locate([entry['file_path'] for entry in entries], where)
    poses = [pose_of(entry['transform_matrix'], f'{where}, frame {entry["file_path"]!r}') for entry in entries]
    names = _names(paths, where)
    check_names(names, [split] * len(names), where)
    images = [_image_path(files.folder, path) for path in paths]
    masks = [named_mask(files, entry, f'{where}, frame {entry["file_path"]!r}') for entry in entries]
    frames = [
        Frame(f'{split}_{name}', split, image, pose, ChainMap(entry, content), where, mask)
        for name, image, pose, entry, mask in zip(names, images, poses, entries, masks, strict=True)
    ]
    for frame in frames:
        frame.intrinsics((1, 1))  # refused before images are read
    return frames


def _image_path(folder: str, path: str) -> str:
    """Return the image file of a frame; if it is missing, with the ending that it usually has."""
    file = os.path.join(folder, path)
    return file if os.path.isfile(file) or path.lower().endswith(ENDINGS) else f'{file}.png'


def _names(paths: list[str], where: str) -> list[str]:
    """Return names for the frames: their file names or, if these repeat (`a/rgb`, `b/rgb`), their whole paths."""
    whole = [_without_ending(os.path.normpath(path)) for path in paths]
    for names in ([os.path.basename(path) for path in whole], [re.sub(r'[/\\]', '_', path) for path in whole]):
        if are_distinct(names):
            return names
    raise UserError(f'{where}: lists an image twice; expected each file_path once')


def _without_ending(path: str) -> str:
    stem, ending = os.path.splitext(path)
    return stem if ending.lower() in ENDINGS else path
