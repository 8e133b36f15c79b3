"""Scenes with intrinsics in their `transforms.json`, as instant-ngp and nerfstudio write them, beside the images.

`transform_matrix` is camera-to-world with OpenGL's axes, as everywhere here, and the world's z points up. A frame's own
intrinsics take precedence over the file's. `transforms_train.json` and those of the other splits are read as well if they
have intrinsics; with an angle of view alone they are Blender's, see `nerf.data.formats.blender`.

Not read: `aabb_scale`, `scale` and `offset`, which place the scene in instant-ngp's box, and `applied_transform`, which
nerfstudio applied to the world before it wrote the poses: here `scene_type` determines the frame. Depth maps are not read
either; masks are, see `nerf.data.formats.masks`.
"""

import logging
import os
from collections import ChainMap
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from nerf.data.formats.json_files import path_within, pose_of, read_frame_list, read_json
from nerf.data.formats.masks import mask_beside, named_mask
from nerf.data.formats.photos import Photo, assemble, find_image, image_folder, with_masks
from nerf.data.formats.transforms_cameras import SAYS_INTRINSICS, read_camera, read_size
from nerf.data.images import size_of
from nerf.data.options import DataOptions
from nerf.data.scene import SPLITS, Scene
from nerf.data.splits import thin_out
from nerf.errors import UserError

LOG = logging.getLogger('nerf')
FILE = 'transforms.json'
IMAGES = 'images' + os.sep


class Frame(NamedTuple):
    """One entry: image path within the scene folder, split if given, [R|t], all values of frame and file, and a name."""

    path: str
    split: str | None
    pose: np.ndarray
    said: Mapping[str, Any]
    where: str


def holds(folder: str) -> bool:
    """Return whether the folder holds such a scene; a transforms_train.json, if there is one, must have intrinsics."""
    where = os.path.join(folder, 'transforms_train.json')
    if not os.path.isfile(where):
        return os.path.isfile(os.path.join(folder, FILE))
    try:
        content = read_json(where, 'frames')
        frame = read_frame_list(content, where)[0]
    except UserError:  # `blender.load` raises it
        return False
    return not SAYS_INTRINSICS.isdisjoint({*content, *frame})


def load(folder: str, options: DataOptions) -> Scene:
    """Load the scene in `folder`, its images sorted by name, in the frame of its type.

    The held-out images are those of `test_filenames` or `transforms_test.json`; if the files give no splits, every eighth
    (`options.test_every`th).

    Raises:
        UserError: a missing, damaged or invalid file; the message names it.
    """
    where, frames = read_frames(folder)
    files = image_files(folder, frames, options)
    there = [(frame, file) for frame, file in zip(frames, files, strict=True) if file]
    if not there:
        raise UserError(f'{where}: none of its {len(frames)} images is there, {frames[0].path} first; check the scene folder')
    first_of = {}
    for frame, file in there:
        if first_of.setdefault(file, frame) is not frame:
            raise UserError(f'{frame.where}: is the same image as {first_of[file].path!r}; expected each once')
    if len(there) < len(frames):
        first = frames[files.index(None)].path
        LOG.warning('%s: %d of %d images are missing and left out, %s first', where, files.count(None), len(frames), first)
    photos = with_masks(folder, [_photo(folder, *each) for each in there])
    return assemble(where, _thin_test(photos, options), options)


def sources(folder: str, options: DataOptions) -> list[str]:
    """List the files that the scene is made from.

    Raises:
        UserError: as `load`, except for the contents of the images.
    """
    _, frames = read_frames(folder)
    files = image_files(folder, frames, options)
    there = [(frame, file) for frame, file in zip(frames, files, strict=True) if file]
    masks = {named_mask(folder, frame.said, frame.where) or mask_beside(folder, file) for frame, file in there} - {None}
    return sorted({os.path.join(folder, name) for _, name in _json_files(folder)} | {file for _, file in there} | masks)


def read_frames(folder: str) -> tuple[str, list[Frame]]:
    """Read the frames of the scene, sorted by path; also return the path of its file or folder, for messages.

    A frame in several splits is kept in the last of train, val and test only, so that no held-out view is trained on.

    Raises:
        UserError: no such folder or file, or an invalid file.
    """
    if not os.path.isdir(folder):
        raise UserError(f'{folder}: no such folder; give the one that holds {FILE}')
    names = _json_files(folder)
    frames = {}
    for split, name in names:
        frames.update(_read_file(os.path.join(folder, name), split))
    where = os.path.join(folder, names[0][1]) if len(names) == 1 else folder
    if not frames:
        raise UserError(f'{where}: none of its frames is in one of its lists of splits; remove the lists or name them there')
    return where, [frames[path] for path in sorted(frames)]


def _json_files(folder: str) -> list[tuple[str | None, str]]:
    """List split and name of the files: one for each split if there is a transforms_train.json, else `FILE` without one."""
    if not os.path.isfile(os.path.join(folder, 'transforms_train.json')):
        return [(None, FILE)]
    names = [(split, f'transforms_{split}.json') for split in SPLITS]
    return [(split, name) for split, name in names if os.path.isfile(os.path.join(folder, name))]


def _read_file(where: str, split: str | None) -> dict[str, Frame]:
    """Read the frames of one file, by path; `split` None: from the file's lists of splits, if it has any."""
    content = read_json(where, 'intrinsics and frames')
    frames: dict[str, Frame] = {}
    for entry in read_frame_list(content, where):
        path, of_frame = path_within(entry['file_path'], where), f'{where}, frame {entry["file_path"]!r}'
        if path in frames:
            raise UserError(f'{of_frame}: is listed twice; expected each image once')
        frames[path] = Frame(path, split, pose_of(entry['transform_matrix'], of_frame), ChainMap(entry, content), of_frame)
    listed = {} if split else _listed_splits(content, where)
    if not listed:
        return frames
    unknown = sorted(listed.keys() - frames.keys())
    if unknown:
        raise UserError(f'{where}: lists {unknown[0]!r} for {listed[unknown[0]]}, but has no frame for it; expected one')
    if len(listed) < len(frames):
        LOG.info('%s: %d of %d frames are of no split and left out', where, len(frames) - len(listed), len(frames))
    return {path: frames[path]._replace(split=each) for path, each in listed.items()}


def _listed_splits(content: dict[str, Any], where: str) -> dict[str, str]:
    """Read the split of each path in nerfstudio's lists, the last one if it is in several; empty without lists."""
    splits = {}
    for split in SPLITS:
        paths = content.get(f'{split}_filenames', [])
        if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
            raise UserError(f'{where}: {split}_filenames is not a list of paths, as it should be')
        splits.update({path_within(path, where): split for path in paths})
    return splits


def image_files(folder: str, frames: list[Frame], options: DataOptions) -> list[str | None]:
    """Find the file of each frame, None if it is missing: in `images_2` and the like, if these are as large as the target.

    Raises:
        UserError: only smaller images exist, or an invalid size.
    """
    if not all(frame.path.startswith(IMAGES) for frame in frames):
        return [find_image(folder, frame.path) for frame in frames]
    widths = [_full_size(folder, frame)[0] for frame in frames]
    if not any(widths):
        return [None] * len(frames)
    inside = image_folder(folder, max(widths), options)
    return [find_image(inside, frame.path.removeprefix(IMAGES)) for frame in frames]


def _full_size(folder: str, frame: Frame) -> tuple[int, int]:
    """Return the (width, height), px, of the intrinsics: w and h if given, else the image's; (0, 0) if that is missing."""
    size = read_size(frame.said, frame.where)
    if size is None:
        file = find_image(folder, frame.path)
        return (0, 0) if file is None else size_of(file)
    return size


def _photo(folder: str, frame: Frame, file: str) -> Photo:
    size = _full_size(folder, frame)
    if not all(size):
        raise UserError(f'{frame.where}: says no w and h, and its image at full size is missing; expected one of them')
    intrinsics, distortion, is_fisheye = read_camera(frame.said, size, frame.where)
    mask = named_mask(folder, frame.said, frame.where)
    return Photo(frame.path, file, frame.pose, intrinsics, size, distortion, is_fisheye, frame.split, mask)


def _thin_test(photos: list[Photo], options: DataOptions) -> list[Photo]:
    """Keep every `options.test_every`th of the test images, if the files give splits, and all others."""
    kept = set(thin_out([photo.name for photo in photos], [photo.split for photo in photos], options.test_every))
    return [photo for photo in photos if photo.name in kept]
