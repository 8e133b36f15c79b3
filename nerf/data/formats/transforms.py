"""Scenes with intrinsics in their `transforms.json`, as instant-ngp and nerfstudio write them, beside the images.

`transform_matrix` is camera-to-world with OpenGL's axes, as everywhere here, and the world's z points up. A frame's own
intrinsics take precedence over the file's. `transforms_train.json` and those of the other splits are read as well if they
have intrinsics; with an angle of view alone they are Blender's, see `nerf.data.formats.blender`.

Not read: `aabb_scale`, `scale` and `offset`, which place the scene in instant-ngp's box, and `applied_transform`, which
nerfstudio applied to the world before it wrote the poses: here `scene_type` determines the frame. Depth maps are not read
either; masks are, see `nerf.data.formats.masks`. `test_frames` and `is_bad` are ScanNet++'s.
"""

import logging
import os
from collections import ChainMap
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from nerf.data.formats.json_files import is_bad, pose_of, read_frame_list, read_json, say_once
from nerf.data.formats.listed_paths import SceneFiles
from nerf.data.formats.masks import mask_beside, named_mask
from nerf.data.formats.photos import Photo, assemble, image_folder, with_masks
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
    """Return whether the folder holds such a scene; if it has files for splits, one of them must have intrinsics."""
    names = _json_files(folder)
    if names == [(None, FILE)]:
        return os.path.isfile(os.path.join(folder, FILE))
    return any(_says_intrinsics(os.path.join(folder, name)) for _, name in names)


def _says_intrinsics(where: str) -> bool:
    try:
        content = read_json(where, 'frames')
        frames = read_frame_list(content, where, may_be_empty=True)
    except UserError:  # `blender.load` raises it
        return False
    return not SAYS_INTRINSICS.isdisjoint(set(content).union(*frames))


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
    here = SceneFiles(folder)
    photos = with_masks(folder, [_photo(here, *each) for each in there])
    _warn_of_other_size(where, [frame for frame, _ in there], photos)
    return assemble(where, _thin_test(photos, options), options)


def sources(folder: str, options: DataOptions) -> list[str]:
    """List the files that the scene is made from.

    Raises:
        UserError: as `load`, except for the contents of the images.
    """
    _, frames = read_frames(folder)
    files = image_files(folder, frames, options)
    there = [(frame, file) for frame, file in zip(frames, files, strict=True) if file]
    here = SceneFiles(folder)
    masks = {named_mask(here, frame.said, frame.where) or mask_beside(folder, file) for frame, file in there} - {None}
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
    files, frames, bad = SceneFiles(folder), {}, set()
    for split, name in names:
        found, found_bad = _read_file(files, os.path.join(folder, name), split)
        frames.update(found)
        bad |= found_bad
    where = os.path.join(folder, names[0][1]) if len(names) == 1 else folder
    if bad:
        say_once(f'{where}: {len(bad)} of {len(frames) + len(bad)} frames are marked is_bad and left out, {min(bad)} first')
    if not frames:
        raise UserError(
            f'{where}: none of its frames is of a split, or all are marked is_bad; expected training images among its frames'
        )
    files.say_moved(where)
    return where, [frames[path] for path in sorted(frames)]


def _json_files(folder: str) -> list[tuple[str | None, str]]:
    """List split and name of the files: one for each split if there is a transforms_train.json, else `FILE` without one."""
    if not os.path.isfile(os.path.join(folder, 'transforms_train.json')):
        return [(None, FILE)]
    names = [(split, f'transforms_{split}.json') for split in SPLITS]
    return [(split, name) for split, name in names if os.path.isfile(os.path.join(folder, name))]


def _read_file(files: SceneFiles, where: str, split: str | None) -> tuple[dict[str, Frame], set[str]]:
    """Read the frames of one file, by path, and the paths of those that are marked `is_bad`.

    `split` None: from the file's lists of splits or, if it has test_frames, these are test and the others train.
    """
    content = read_json(where, 'intrinsics and frames')
    entries = read_frame_list(content, where, may_be_empty=split in ('val', 'test'))
    held_out = read_frame_list(content, where, 'test_frames', may_be_empty=True) if 'test_frames' in content else []
    listed = [] if split else _listed_splits(content, where)
    paths = [entry['file_path'] for entry in [*entries, *held_out]] + [path for path, _ in listed]
    within = dict(zip(paths, files.locate(paths, where), strict=True))
    bad = {within[entry['file_path']] for entry in [*entries, *held_out] if is_bad(entry)}
    tests = _frames(held_out, within, 'test', content, where)
    frames = _frames(entries, within, split or ('train' if held_out else None), content, where) | tests
    splits = {within[path]: of for path, of in listed}
    if not splits:
        return frames, bad
    unknown = sorted(splits.keys() - frames.keys() - bad)
    if unknown:
        raise UserError(f'{where}: lists {unknown[0]!r} for {splits[unknown[0]]}, but has no frame for it; expected one')
    chosen = {path: frames[path]._replace(split=of) for path, of in splits.items() if path in frames} | tests
    if len(chosen) < len(frames):
        LOG.info('%s: %d of %d frames are of no split and left out', where, len(frames) - len(chosen), len(frames))
    return chosen, bad


def _frames(
    entries: list[dict[str, Any]], within: Mapping[str, str], split: str | None, content: dict[str, Any], where: str
) -> dict[str, Frame]:
    """Make the frames of a list, by their paths `within` the folder, without those that are marked `is_bad`."""
    frames: dict[str, Frame] = {}
    for entry in entries:
        path, of_frame = within[entry['file_path']], f'{where}, frame {entry["file_path"]!r}'
        if is_bad(entry):
            continue
        if path in frames:
            raise UserError(f'{of_frame}: is listed twice; expected each image once')
        frames[path] = Frame(path, split, pose_of(entry['transform_matrix'], of_frame), ChainMap(entry, content), of_frame)
    return frames


def _listed_splits(content: dict[str, Any], where: str) -> list[tuple[str, str]]:
    """Read the paths in nerfstudio's lists of splits with their splits, of which the last counts; empty without lists."""
    listed = []
    for split in SPLITS:
        paths = content.get(f'{split}_filenames', [])
        if not isinstance(paths, list) or not all(isinstance(path, str) for path in paths):
            raise UserError(f'{where}: {split}_filenames is not a list of paths, as it should be')
        listed += [(path, split) for path in paths]
    return listed


def image_files(folder: str, frames: list[Frame], options: DataOptions) -> list[str | None]:
    """Find the file of each frame, None if it is missing: in `images_2` and the like, if these are as large as the target.

    Raises:
        UserError: only smaller images exist, or an invalid size.
    """
    files = SceneFiles(folder)
    if not all(frame.path.startswith(IMAGES) for frame in frames):
        return [files.find(frame.path) for frame in frames]
    widths = [_full_size(files, frame)[0] for frame in frames]
    if not any(widths):
        return [None] * len(frames)
    inside = SceneFiles(image_folder(folder, min(filter(None, widths)), options))
    return [inside.find(frame.path.removeprefix(IMAGES)) for frame in frames]


def _full_size(files: SceneFiles, frame: Frame) -> tuple[int, int]:
    """Return the (width, height), px, of the intrinsics: w and h if given, else the image's; (0, 0) if that is missing."""
    size = read_size(frame.said, frame.where)
    if size is None:
        file = files.find(frame.path)
        return (0, 0) if file is None else size_of(file)
    return size


def _photo(files: SceneFiles, frame: Frame, file: str) -> Photo:
    size = _full_size(files, frame)
    if not all(size):
        raise UserError(f'{frame.where}: says no w and h, and its image at full size is missing; expected one of them')
    intrinsics, distortion, is_fisheye = read_camera(frame.said, size, frame.where)
    mask = named_mask(files, frame.said, frame.where)
    return Photo(frame.path, file, frame.pose, intrinsics, size, distortion, is_fisheye, frame.split, mask)


def _warn_of_other_size(where: str, frames: list[Frame], photos: list[Photo]) -> None:
    """Log a line if files without w and h have intrinsics as for an image of another size.

    The principal point is then off the centre by the same ratio in both axes; `read_photos` refuses one outside of the image.
    """
    for frame, photo in zip(frames, photos, strict=True):
        across, down = 2 * photo.intrinsics[:2, 2] / photo.size
        if read_size(frame.said, frame.where) is None and abs(across - 1) > 0.1 and abs(across - down) < 0.02 * across:
            LOG.warning(
                '%s: says no w and h, and its principal points, %.5g, %.5g px first, are those of an image of %.0f x %.0f px, '
                'but images have %d x %d px; add the w and h that its intrinsics are for',
                *(where, *photo.intrinsics[:2, 2], *(photo.size * np.array([across, down])), *photo.size),
            )
            return


def _thin_test(photos: list[Photo], options: DataOptions) -> list[Photo]:
    """Keep every `options.test_every`th of the test images, if the files give splits, and all others."""
    kept = set(thin_out([photo.name for photo in photos], [photo.split for photo in photos], options.test_every))
    return [photo for photo in photos if photo.name in kept]
