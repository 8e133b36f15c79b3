"""Scenes reconstructed by COLMAP: a sparse model, and the photos it was made from in `images`, `images_2` and so on.

The model's poses are world-to-camera in OpenCV's axes (x right, y down, looking along +z); its intrinsics are for `images`.
The origin, axes and unit of its world are arbitrary, so `scene_type` determines the frame of the cameras.
"""

import logging
import os

import numpy as np

from nerf.data.formats.colmap_model import READERS, Model, ModelImage, model_files, read_model
from nerf.data.formats.masks import mask_beside
from nerf.data.formats.photos import Photo, assemble, find_image, image_folder, images_below, with_masks
from nerf.data.options import DataOptions
from nerf.data.scene import Scene
from nerf.errors import UserError

LOG = logging.getLogger('nerf')
# Folders of the model within the scene's: of COLMAP and the mip-NeRF 360 scenes, made by hand, and of nerfstudio.
MODEL_FOLDERS = ('sparse/0', 'sparse', 'colmap/sparse/0')
# From OpenCV's camera axes to OpenGL's: y and z change sign.
TURNED = np.array([1.0, -1.0, -1.0])


def holds(folder: str) -> bool:
    """Return whether the folder holds such a scene."""
    return any(_has_cameras(os.path.join(folder, inner)) for inner in MODEL_FOLDERS)


def load(folder: str, options: DataOptions) -> Scene:
    """Load the scene in `folder`, its photos sorted by name and every eighth (`options.test_every`th) held out.

    Raises:
        UserError: a missing, damaged or invalid file; the message names it. More than half of the model's photos are
            missing.
    """
    where = model_folder(folder)
    model = read_model(where)
    root, files = _image_files(folder, model, options)
    photos = [make_photo(model, image, file) for image, file in zip(model.images, files, strict=True) if file]
    _say_left_out(where, root, len(model.images), photos)
    return assemble(where, with_masks(folder, photos), options, model.points)


def sources(folder: str, options: DataOptions) -> list[str]:
    """List the files that the scene is made from: the model's, and all images of any size and their masks.

    Raises:
        UserError: no complete model.
    """
    model = model_files(model_folder(folder))
    roots = sorted(entry.path for entry in os.scandir(folder) if entry.name.startswith('images') and entry.is_dir())
    images = [os.path.join(root, name) for root in roots for name in images_below(root)]
    masks = {mask_beside(folder, image) for image in images} - {None}
    return [*model, *images, *sorted(masks)]


def model_folder(folder: str) -> str:
    """Return the folder of the model in the scene's folder, the first of `MODEL_FOLDERS` that holds one.

    Raises:
        UserError: no model.
    """
    for inner in MODEL_FOLDERS:
        path = os.path.join(folder, inner)
        if _has_cameras(path):
            return path
    raise UserError(f'{folder}: found no COLMAP model, expected sparse/0/cameras.bin (or .txt) and the others beside it')


def _has_cameras(folder: str) -> bool:
    return any(os.path.isfile(os.path.join(folder, f'cameras{ending}')) for ending in READERS)


def _image_files(folder: str, model: Model, options: DataOptions) -> tuple[str, list[str | None]]:
    """Return the folder of images to read, and the file in it of each image, None if it is missing.

    If smaller copies have other names than the model's images, as in LLFF's scenes, full-size images are downsampled.
    """
    root = image_folder(folder, max(camera.width for camera in model.cameras.values()), options)
    for choice in dict.fromkeys((root, os.path.join(folder, 'images'))):
        files = [find_image(choice, image.name) for image in model.images]
        if any(files):
            return choice, files
    return root, files


def make_photo(model: Model, image: ModelImage, path: str) -> Photo:
    """Convert one image of the model, with file `path`, to a photo with pose and intrinsics.

    camera_to_world = [R^T diag(1, -1, -1) | -R^T t] for x_camera = R x_world + t.
    """
    camera = model.cameras[image.camera_id]
    pose = np.concatenate([image.rotation.T * TURNED, -(image.rotation.T @ image.translation)[:, None]], axis=1)
    size = camera.width, camera.height
    return Photo(image.name, path, pose, camera.intrinsics, size, camera.distortion, camera.is_fisheye)


def _say_left_out(where: str, root: str, count: int, photos: list[Photo]) -> None:
    """Log how many of the model's images have no file and how many files have no pose; refuse if most files are missing."""
    missing = count - len(photos)
    if missing > count / 2:
        raise UserError(
            f'{where}: {missing} of its {count} images are not in {root}; put those there that it was made from, or set '
            '--config.data.format if the scene is of another'
        )
    if missing:
        LOG.warning('%s: %d of its %d images are not in %s and left out', where, missing, count, root)
    without_pose = len(images_below(root)) - len(photos)
    if without_pose > 0:
        LOG.info('%s: %d images have no pose in %s and are not used', root, without_pose, where)
