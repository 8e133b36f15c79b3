"""Scenes written to disk in the layouts of other people's data, for the tests of the loaders."""

import functools
from pathlib import Path

import numpy as np
from PIL import Image

from nerf.data import procedural
from nerf.data.scene import make_scene, stack_cameras

FLIP = np.array([1.0, -1.0, -1.0, 1.0])  # OpenGL's axes to OpenCV's, as columns of a pose


def on_white(image):
    """A premultiplied image [h, w, 4] over white: opaque uint8 [h, w, 3]."""
    return image[..., :3] + (255 - image[..., 3:])


@functools.cache
def small_scene(width=16, every=4):
    """Every `every`th view of the built-in scene, with its exact cameras in float64 (a `Scene` holds float32)."""
    names, split, cameras = procedural.views(width)
    kept = [i for of in ('train', 'val', 'test') for i in np.flatnonzero(np.array(split) == of)[::every]]
    cameras = type(cameras)(*(getattr(cameras, key)[kept] for key in list(cameras.__dataclass_fields__)[:6]))
    images = [procedural.premultiply(image) for image in procedural.straight_images(cameras)]
    return make_scene([names[i] for i in kept], [split[i] for i in kept], images, cameras)


def front_scene(width=16, height=12, count=9):
    """Noise seen by cameras side by side that all look along about -z, 4 px wider than their focal length."""
    rng = np.random.default_rng(3)
    poses = np.stack([turned(*rng.normal(0, 0.05, 3)) for _ in range(count)])
    poses = np.concatenate([poses, rng.normal(0, 0.3, (count, 3, 1))], axis=2)
    lens = np.array([[width - 4.0, 0, width / 2], [0, width - 4.0, height / 2], [0, 0, 1]])
    images = [np.append(rng.integers(0, 256, (height, width, 3)), np.full((height, width, 1), 255), 2) for _ in poses]
    cameras = stack_cameras(poses, np.tile(lens, (count, 1, 1)), np.full((count, 2), (width, height)), 2.0, 6.0)
    names = [f'train_{i}' for i in range(count)]
    return make_scene(names, ['train'] * count, [image.astype(np.uint8) for image in images], cameras)


def turned(x, y, z):
    """A rotation [3, 3] by these angles about the three axes, radians."""
    (cx, cy, cz), (sx, sy, sz) = np.cos([x, y, z]), np.sin([x, y, z])
    about_x = np.array([[1, 0, 0], [0, cx, -sx], [0, sx, cx]])
    about_y = np.array([[cy, 0, sy], [0, 1, 0], [-sy, 0, cy]])
    return np.array([[cz, -sz, 0], [sz, cz, 0], [0, 0, 1]]) @ about_y @ about_x


def llff_rows(scene, factor=1):
    """The rows of poses_bounds.npy, [k, 17], for images that are `factor` times smaller than what the rows are for."""
    cameras = scene.cameras
    pose = cameras.camera_to_world.astype(np.float64)
    size = factor * np.stack([cameras.height, cameras.width, cameras.camera_to_pixel[:, 0, 0]], axis=1).astype(np.float64)
    columns = [-pose[:, :, 1], pose[:, :, 0], pose[:, :, 2], pose[:, :, 3], size]
    bounds = np.stack([cameras.near, cameras.far], axis=1)
    return np.concatenate([np.stack(columns, axis=2).reshape(-1, 15), bounds], axis=1)


def write_llff(folder, scene, factor=1):
    """An LLFF folder: poses_bounds.npy, and opaque images in images (or images_N) whose names sort as the scene's images."""
    images = Path(folder, 'images' if factor == 1 else f'images_{factor}')
    images.mkdir(parents=True)
    np.save(Path(folder, 'poses_bounds.npy'), llff_rows(scene, factor))
    for i in range(len(scene.names)):
        Image.fromarray(on_white(scene.image(i))).save(images / f'image{i:03d}.png')


def write_deepvoxels(folder, scene, in_archive=False, lens_size=None):
    """A DeepVoxels folder or, `in_archive`, one with the splits above the scene `cube`; PNGs on white.

    The intrinsics are for `lens_size` (width, height), of which the square images show the middle.
    """
    width, height = lens_size or (int(scene.cameras.width[0]), int(scene.cameras.height[0]))
    focal = scene.cameras.camera_to_pixel[0, 0, 0] * min(width, height) / scene.cameras.width[0]
    for split, name in (('train', 'train'), ('val', 'validation'), ('test', 'test')):
        where = Path(folder, name, 'cube') if in_archive else Path(folder, name)
        for inner in ('rgb', 'pose'):
            (where / inner).mkdir(parents=True)
        lines = [f'{focal:.9f} {width / 2} {height / 2} 0.', '0. 0. 0.', '1.', '1.', f'{height} {width}']
        (where / 'intrinsics.txt').write_text('\n'.join(lines) + '\n')
        for number, i in enumerate(scene.indices(split)):
            Image.fromarray(on_white(scene.image(i))).save(where / 'rgb' / f'{number:06d}.png')
            pose = np.append(scene.cameras.camera_to_world[i] * FLIP, [[0, 0, 0, 1]], axis=0)
            (where / 'pose' / f'{number:06d}.txt').write_text(' '.join(f'{value:.9g}' for value in pose.ravel()) + '\n')
