"""Registry of the scene formats by name; detection of a format, and loading of a scene of any of them."""

import dataclasses
import hashlib
import logging
import os
import re
from collections.abc import Callable

import numpy as np

from nerf.data import procedural
from nerf.data.formats import blender, colmap, deepvoxels, llff, tiny_nerf, transforms
from nerf.data.formats import multiscale_blender as multiscale_loader
from nerf.data.formats.code import source_files
from nerf.data.options import DataOptions
from nerf.data.placement import place_scene
from nerf.data.scene import Scene, make_scene, with_corner_pixels
from nerf.data.splits import thin_out
from nerf.errors import UserError, unknown
from nerf.scene_types import scene_type_of

BUILT_IN = 'procedural'
BUILT_IN_WIDTH = 400
# Folders of a scene, one of which may be given instead of it.
PARTS = re.compile(r'images(_\d+)?|sparse|colmap|train|val|validation|test|masks')
DEEPEST = 4  # folders from a scene's file to the scene: colmap/sparse/0/cameras.bin
LOG = logging.getLogger('nerf')


@dataclasses.dataclass(frozen=True)
class Format:
    """One format of scenes on disk.

    Attributes:
        looked_for: the file by which a folder is recognised, for messages.
        holds: returns whether a folder (or file) is of this format.
        load: loads the scene.
        sources: lists the files that the scene is made from.
        scene_type: what its scenes usually are. Those of objects are rendered, and have their frame, near and far.
    """

    looked_for: str
    holds: Callable[[str], bool]
    load: Callable[[str, DataOptions], Scene]
    sources: Callable[[str, DataOptions], list[str]]
    scene_type: str = 'unbounded'


def load_built_in(folder: str, options: DataOptions) -> Scene:
    """Render the built-in scene, which needs no files; 400 px wide by default."""
    scene = procedural.load(options.target_width(BUILT_IN_WIDTH))
    cameras = scene.cameras
    near = cameras.near if options.near is None else np.full_like(cameras.near, options.near)
    far = cameras.far if options.far is None else np.full_like(cameras.far, options.far)
    return _thin_test(dataclasses.replace(scene, cameras=cameras.replace(near=near, far=far)), options.test_every)


FORMATS: dict[str, Format] = {
    # Before 'blender': a transforms_train.json with intrinsics is not a Blender scene's.
    'transforms': Format(transforms.FILE, transforms.holds, transforms.load, transforms.sources),
    'blender': Format('transforms_train.json', blender.holds, blender.load, blender.sources, scene_type='object'),
    'tiny_nerf': Format(tiny_nerf.FILE, tiny_nerf.holds, tiny_nerf.load, tiny_nerf.sources, scene_type='object'),
    'multiscale_blender': Format(
        multiscale_loader.FILE, multiscale_loader.holds, multiscale_loader.load, multiscale_loader.sources, scene_type='object'
    ),
    'deepvoxels': Format('train/intrinsics.txt', deepvoxels.holds, deepvoxels.load, deepvoxels.sources, scene_type='object'),
    # Before 'llff': the COLMAP model has image names and distortion, too. The configs of LLFF scenes set data.format to llff.
    'colmap': Format('sparse/0/cameras.bin', colmap.holds, colmap.load, colmap.sources),
    'llff': Format(llff.FILE, llff.holds, llff.load, llff.sources, scene_type='forward_facing'),
    BUILT_IN: Format('nothing', lambda folder: False, load_built_in, lambda folder, options: [], scene_type='object'),
}


def load_scene(format: str | None, data_dir: str | None, scene: str, options: DataOptions) -> Scene:
    """Load the scene `scene` of `data_dir`; `format` None: detect it or, without `data_dir`, render the built-in scene.

    Raises:
        UserError: an unknown format, no scene of a known format in `data_dir`, or as the format's loader.
    """
    format, folder = resolve_source(format, data_dir, scene)
    loaded = _load(FORMATS[format], folder, options)
    return with_corner_pixels(loaded) if options.paper_pixels else loaded


def _load(format: Format, folder: str, options: DataOptions) -> Scene:
    if scene_type_of(options.scene_type).has_subject or not scene_type_of(format.scene_type).has_subject:
        return format.load(folder, options)
    # In other frames near and far are not the loader's depths, so the options' bounds are left to `place_scene`.
    return place_scene(format.load(folder, dataclasses.replace(options, near=None, far=None)), options)


def resolve_source(format: str | None, data_dir: str | None, scene: str) -> tuple[str, str]:
    """Return the format's name and the folder (or file) to load, '' for the built-in scene.

    Raises:
        UserError: an unknown format, or no scene of a known format in `data_dir`.
    """
    if format is not None and format not in FORMATS:
        raise unknown('data.format', format, FORMATS)
    if format == BUILT_IN or (format is None and data_dir is None):
        return BUILT_IN, ''
    if data_dir is None:
        raise UserError(f'data.format {format!r} reads files, but no data_dir was given; add --data_dir')
    folder = find_source(data_dir, scene)
    return format or detect_format(folder), folder


def find_source(data_dir: str, scene: str) -> str:
    """Find the folder (or file) of a scene: `data_dir/scene` if that exists, else `data_dir` itself.

    `data_dir/train/scene` is found as well, as in the archive of DeepVoxels; and if `data_dir` is a file or folder of a scene
    (`transforms.json`, `sparse/0`, `images`), the scene that it lies in.

    Raises:
        UserError: no `data_dir`, or one that holds other scenes, but not `scene`.
    """
    data_dir = os.path.abspath(os.path.expanduser(data_dir))
    if not os.path.exists(data_dir):
        raise UserError(f'{data_dir}: no such folder; give as data_dir the folder of the scene, or the one above it')
    inside, in_archive = os.path.join(data_dir, scene), os.path.join(data_dir, 'train', scene)
    if scene and os.path.exists(inside):
        return inside
    if scene and deepvoxels.holds(in_archive):
        return in_archive
    if _is_whole(data_dir):
        return data_dir
    if scene and os.path.isdir(data_dir):
        known = [each.name for each in os.scandir(data_dir) if _is_scene(each.path)]
        if known:
            raise unknown('scene', scene, known)
    return _scene_around(data_dir) or data_dir


def _is_scene(folder: str) -> bool:
    return any(format.holds(folder) for format in FORMATS.values())


def _is_whole(folder: str) -> bool:
    """Return whether a folder is a scene, and not nerfstudio's `colmap` in one, which has the model and no images."""
    is_model = os.path.basename(folder) == 'colmap' and not os.path.isdir(os.path.join(folder, 'images'))
    return _is_scene(folder) and not is_model


def _scene_around(path: str) -> str | None:
    """Return the nearest scene above that `path` is a file of, or one of its folders; None if there is none."""
    above, parts = path, []
    for _ in range(DEEPEST):
        above, part = os.path.split(above)
        parts.insert(0, part)
        is_part = PARTS.fullmatch(part) or (len(parts) == 1 and os.path.isfile(path))
        if is_part and _is_whole(above):
            LOG.info('%s: is read, the scene that %s is a part of', above, os.path.join(*parts))
            return above
    return None


def detect_format(folder: str) -> str:
    """Detect the format of `folder` (or file) and return its name.

    Raises:
        UserError: no known format.
    """
    for name, format in FORMATS.items():
        if format.holds(folder):
            return name
    looked_for = ', '.join(f'{format.looked_for} ({name})' for name, format in FORMATS.items() if name != BUILT_IN)
    raise UserError(f'{folder}: no scene recognised, looked for {looked_for}; check data_dir and scene')


def fingerprint(format: str, folder: str, options: DataOptions) -> str:
    """Return 16 hex digits that change with the options, the loaders' code, and each file's path, size and time.

    Raises:
        UserError: the scene's files are missing or do not list its images.
    """
    digest = hashlib.sha256(repr((format, dataclasses.astuple(options))).encode())
    loader = FORMATS[format].load.__module__
    reader = procedural.__name__ if loader == __name__ else loader
    for file in source_files([reader, place_scene.__module__]):
        digest.update(file.read_bytes())
    for path in FORMATS[format].sources(folder, options):
        try:
            state = os.stat(path)
        except (OSError, ValueError) as error:  # ValueError: a name with NUL, or that no file system can have
            name = path if len(path) < 300 else f'{path[:300]}...'
            reason = getattr(error, 'strerror', None) or 'no such name is possible'
            raise UserError(f'{name!a}: cannot be read ({reason}); check the scene folder') from error
        digest.update(repr((os.path.abspath(path), state.st_size, state.st_mtime_ns)).encode())
    return digest.hexdigest()[:16]


def _thin_test(scene: Scene, every: int | None) -> Scene:
    """Keep every Nth of the test images of a scene, and all others."""
    kept = thin_out(range(len(scene.names)), scene.split, every)
    if len(kept) == len(scene.names):
        return scene
    names, split = ([values[i] for i in kept] for values in (scene.names, scene.split))
    return make_scene(names, split, [scene.image(i) for i in kept], scene.cameras.at(kept), scene.weights[kept])
