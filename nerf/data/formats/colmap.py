"""Scenes reconstructed by COLMAP: a sparse model, and the photos it was made from in `images`, `images_2` and so on.

The model's poses are world-to-camera in OpenCV's axes (x right, y down, looking along +z); its intrinsics are for `images`.
Where its world's origin, axes and unit are is chance, so `scene_type` decides where the cameras stand.
"""

import logging
import os

import numpy as np

from nerf.data.formats.colmap_model import READERS, Model, ModelImage, model_files, read_model
from nerf.data.formats.photos import Photo, assemble, find_image, image_folder, images_below
from nerf.data.options import DataOptions
from nerf.data.scene import Scene
from nerf.errors import UserError

LOG = logging.getLogger('nerf')
# Where the model lies in the scene folder: as COLMAP and the mip-NeRF 360 scenes have it, by hand, as nerfstudio has it.
MODEL_FOLDERS = ('sparse/0', 'sparse', 'colmap/sparse/0')
# From OpenCV's camera axes to OpenGL's: y and z turned.
TURNED = np.array([1.0, -1.0, -1.0])


def holds(folder: str) -> bool:
    """Return whether the folder holds such a scene."""
    return any(_has_cameras(os.path.join(folder, inner)) for inner in MODEL_FOLDERS)


def load(folder: str, options: DataOptions) -> Scene:
    """Load the scene in `folder`, its photos sorted by name and every eighth (`options.test_every`th) held out.

    Raises:
        UserError: a file that is missing, damaged, or does not say what it should, by name; more than half of the model's
            photos are missing.
    """
    where = model_folder(folder)
    model = read_model(where)
    root, files = _image_files(folder, model, options)
    photos = [make_photo(model, image, file) for image, file in zip(model.images, files, strict=True) if file]
    _say_left_out(where, root, len(model.images), photos)
    return assemble(where, photos, options, model.points)


def sources(folder: str, options: DataOptions) -> list[str]:
    """List the files that the scene is made from: the model's, and all images of any size.

    Raises:
        UserError: no whole model.
    """
    model = model_files(model_folder(folder))
    roots = sorted(entry.path for entry in os.scandir(folder) if entry.name.startswith('images') and entry.is_dir())
    return [*model, *(os.path.join(root, name) for root in roots for name in images_below(root))]


def model_folder(folder: str) -> str:
    """Return the folder of the model in the scene's folder, the first of `MODEL_FOLDERS` that holds one.

    Raises:
        UserError: there is none.
    """
    for inner in MODEL_FOLDERS:
        path = os.path.join(folder, inner)
        if _has_cameras(path):
            return path
    raise UserError(f'{folder}: found no COLMAP model, expected sparse/0/cameras.bin (or .txt) and the others beside it')


def _has_cameras(folder: str) -> bool:
    return any(os.path.isfile(os.path.join(folder, f'cameras{ending}')) for ending in READERS)


def _image_files(folder: str, model: Model, options: DataOptions) -> tuple[str, list[str | None]]:
    """The folder of images to read, and the file in it of each image, None where there is none.

    Smaller copies under other names, as in LLFF's scenes, are nobody's: the full-size images are shrunk then.
    """
    root = image_folder(folder, max(camera.width for camera in model.cameras.values()), options)
    for choice in dict.fromkeys((root, os.path.join(folder, 'images'))):
        files = [find_image(choice, image.name) for image in model.images]
        if any(files):
            return choice, files
    return root, files


def make_photo(model: Model, image: ModelImage, path: str) -> Photo:
    """Convert one image of the model, whose file is `path`.

    camera_to_world = [R^T diag(1, -1, -1) | -R^T t] for x_camera = R x_world + t.
    """
    camera = model.cameras[image.camera_id]
    pose = np.concatenate([image.rotation.T * TURNED, -(image.rotation.T @ image.translation)[:, None]], axis=1)
    size = camera.width, camera.height
    return Photo(image.name, path, pose, camera.intrinsics, size, camera.distortion, camera.is_fisheye)


def _say_left_out(where: str, root: str, count: int, photos: list[Photo]) -> None:
    """Say how many of the model's images have no file and how many files no pose; refuse if most have none."""
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
