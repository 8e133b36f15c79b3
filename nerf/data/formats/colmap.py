"""Scenes reconstructed by COLMAP: a sparse model, and the photos it was made from in `images`, `images_2` and so on.

The model's poses are world-to-camera in OpenCV's axes (x right, y down, looking along +z); its intrinsics are for `images`.
The origin, axes and unit of its world are arbitrary, so `scene_type` determines the frame of the cameras.
"""

import logging
import os

import numpy as np

from nerf.data.formats.colmap_model import Model, ModelImage, holds_model, model_files, read_model, read_names
from nerf.data.formats.listed_paths import SceneFiles
from nerf.data.formats.masks import mask_beside
from nerf.data.formats.photos import Photo, assemble, image_folder, images_below, list_images, with_masks
from nerf.data.options import DataOptions
from nerf.data.scene import Scene
from nerf.errors import UserError

LOG = logging.getLogger('nerf')
# Folders within the scene's that hold a model or, as COLMAP writes several where photos do not fit together, one in each of
# their folders: of COLMAP and the mip-NeRF 360 scenes, and of nerfstudio.
MODEL_FOLDERS = ('sparse', 'colmap/sparse')
IMAGES = 'images/'  # names of images may be paths within the scene's folder
# From OpenCV's camera axes to OpenGL's: y and z change sign.
TURNED = np.array([1.0, -1.0, -1.0])


def holds(folder: str) -> bool:
    """Return whether the folder holds such a scene."""
    return bool(_models(folder))


def load(folder: str, options: DataOptions) -> Scene:
    """Load the scene in `folder`, its photos sorted by name and every eighth (`options.test_every`th) held out.

    Raises:
        UserError: a missing, damaged or invalid file; the message names it. More than half of the model's photos are
            missing.
    """
    where = model_folder(folder)
    _say_which(folder, where)
    model = read_model(where)
    root, files = _image_files(folder, model, options)
    photos = [make_photo(model, image, file) for image, file in zip(model.images, files, strict=True) if file]
    _say_left_out(where, root, len(model.images), photos, _images_beside(folder, root, files))
    return assemble(where, with_masks(folder, photos), options, model.points)


def sources(folder: str, options: DataOptions) -> list[str]:
    """List the files that the scene is made from: the model's, and all images of any size and their masks.

    Raises:
        UserError: no complete model, or a damaged file of its images.
    """
    where = model_folder(folder)
    roots = sorted(entry.path for entry in os.scandir(folder) if entry.name.startswith('images') and entry.is_dir())
    images = [os.path.join(root, name) for root in roots for name in images_below(root)]
    elsewhere = set(map(SceneFiles(folder).find, read_names(where))) - {None, *images}
    masks = {mask_beside(folder, image) for image in images} - {None}
    return [*model_files(where), *images, *sorted(elsewhere | masks)]


def model_folder(folder: str) -> str:
    """Return the folder of the model in the scene's folder, of several that with the most images.

    Raises:
        UserError: no model, or one of several whose images cannot be counted.
    """
    counts = _image_counts(folder)
    return max(counts, key=lambda model: counts[model])  # the first of these


def _image_counts(folder: str) -> dict[str, int]:
    """Count the images of each model in the scene's folder, by the model's folder; a single one is not read for that."""
    models = _models(folder)
    if not models:
        raise UserError(f'{folder}: found no COLMAP model, expected sparse/0/cameras.bin (or .txt) and the others beside it')
    return {model: len(read_names(model)) if len(models) > 1 else 0 for model in models}


def _say_which(folder: str, where: str) -> None:
    """Log which of several models is used."""
    counts = _image_counts(folder)
    others = [f'{os.path.relpath(model, folder)} with {count}' for model, count in counts.items() if model != where]
    if others:
        more = f' and {len(others) - 5} more' if len(others) > 5 else ''
        listed = ', '.join(others[:5])
        name = os.path.relpath(where, folder)
        LOG.warning('%s: %s with %d images is used, not %s%s', folder, name, counts[where], listed, more)


def _models(folder: str) -> list[str]:
    """List the folders of models in the scene's folder: sparse/0, sparse/1, ..., then sparse itself, and so on."""
    models = []
    for outer in (os.path.join(folder, inner) for inner in MODEL_FOLDERS):
        inside = sorted(os.listdir(outer)) if os.path.isdir(outer) else []
        models += filter(holds_model, [*(os.path.join(outer, name) for name in inside if not name.startswith('.')), outer])
    return models


def _image_files(folder: str, model: Model, options: DataOptions) -> tuple[str, list[str | None]]:
    """Return the folder of images to read, and the file in it of each image, None if it is missing.

    If smaller copies have other names than the model's images, as in LLFF's scenes, full-size images are downsampled. Names
    may be paths within the scene's folder, too: images/a.jpg is then a.jpg in images_2, and any/a.jpg is that file.
    """
    names = [image.name for image in model.images]
    within_scene = list(map(SceneFiles(folder).find, names))
    narrowest = min(model.cameras[image.camera_id].width for image in model.images)
    try:
        root = image_folder(folder, narrowest, options)
    except UserError:
        if not any(within_scene) or all(name.startswith(IMAGES) for name in names):
            raise
        return folder, within_scene
    for choice in dict.fromkeys((root, os.path.join(folder, 'images'))):
        found = SceneFiles(choice)
        files = [found.find(name) or found.find(name.removeprefix(IMAGES)) for name in names]
        if any(files):
            return choice, files
    return (folder, within_scene) if any(within_scene) else (root, files)


def _images_beside(folder: str, root: str, files: list[str | None]) -> list[str]:
    """List the image files that lie in the folder of images, but are none of `files`."""
    if root == folder:  # which holds more than photos
        found = {os.path.join(at, name) for at in {os.path.dirname(file) for file in files if file} for name in list_images(at)}
    else:
        found = {os.path.join(root, name) for name in images_below(root)}
    return sorted(found - {os.path.normpath(file) for file in files if file})


def make_photo(model: Model, image: ModelImage, path: str) -> Photo:
    """Convert one image of the model, with file `path`, to a photo with pose and intrinsics.

    camera_to_world = [R^T diag(1, -1, -1) | -R^T t] for x_camera = R x_world + t.
    """
    camera = model.cameras[image.camera_id]
    pose = np.concatenate([image.rotation.T * TURNED, -(image.rotation.T @ image.translation)[:, None]], axis=1)
    size = camera.width, camera.height
    return Photo(image.name, path, pose, camera.intrinsics, size, camera.distortion, camera.is_fisheye)


def _say_left_out(where: str, root: str, count: int, photos: list[Photo], beside: list[str]) -> None:
    """Log how many of the model's images have no file and which files have no pose; refuse if most files are missing."""
    missing = count - len(photos)
    if missing > count / 2:
        raise UserError(
            f'{where}: {missing} of its {count} images are not in {root}; put those there that it was made from, or set '
            '--config.data.format if the scene is of another'
        )
    if missing:
        LOG.warning('%s: %d of its %d images are not in %s and left out', where, missing, count, root)
    if beside:
        names = ', '.join(ascii(os.path.relpath(path, root))[1:-1] for path in beside[:3])
        some = f'{names}, ...' if len(beside) > 3 else names
        have, are = ('1 image has', 'is') if len(beside) == 1 else (f'{len(beside)} images have', 'are')
        LOG.warning('%s: %s no pose in %s and %s not used (%s)', root, have, where, are, some)
