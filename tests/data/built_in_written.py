"""The built-in scene through cameras of our own, and how each format writes it, for the tests of geometry."""

import dataclasses
import json
from pathlib import Path

import numpy as np
from scipy.spatial.transform import Rotation
from seen import by_camera, picture, straight, traced, true_rays
from written import on_white, write_deepvoxels, write_llff
from written_photos import write_colmap, write_images, write_transforms

from nerf.data import multiscale, procedural
from nerf.data.images import premultiply
from nerf.data.scene import Scene, make_scene
from nerf.ray.cameras import Camera
from nerf.ray.lenses import Lens

SIZE = np.array([32, 24])
KEPT = [3, 20, 41, 61, 66]  # of the built-in scene's views: three for training, one each for validation and test
WHITE, BLACK = 255, 0
OPAQUE = {'tiny_nerf': BLACK, 'llff': WHITE, 'deepvoxels': WHITE, 'deepvoxels, middle': WHITE}
# In the order of COLMAP's documentation, and of OpenCV's.
PARAMETERS = {
    'PINHOLE': 'fx fy cx cy',
    'SIMPLE_RADIAL': 'f cx cy k1',
    'RADIAL': 'f cx cy k1 k2',
    'OPENCV': 'fx fy cx cy k1 k2 p1 p2',
    'FULL_OPENCV': 'fx fy cx cy k1 k2 p1 p2 k3 k4 k5 k6',
    'SIMPLE_FISHEYE': 'f cx cy',
    'SIMPLE_RADIAL_FISHEYE': 'f cx cy k1',
    'OPENCV_FISHEYE': 'fx fy cx cy k1 k2 k3 k4',
}
COEFFICIENTS = ('k1', 'k2', 'p1', 'p2', 'k3', 'k4', 'k5', 'k6')
FISHEYE_COEFFICIENTS = ('k1', 'k2', 'k3', 'k4')
# What a reconstruction might have made of the built-in scene's world: any similarity.
TURNED, SCALED, MOVED = Rotation.from_rotvec([0.7, -1.1, 0.4]).as_matrix(), 0.37, np.array([3.0, -2.0, 5.0])


@dataclasses.dataclass(frozen=True)
class Truth:
    """What is written: names, splits, cameras, straight images, and points of surfaces."""

    cameras: Camera
    images: list[np.ndarray]
    split: tuple[str, ...]
    points: np.ndarray

    @property
    def names(self) -> list[str]:
        return [f'r_{i:03d}.png' for i in range(len(self.images))]

    @property
    def scene(self) -> Scene:
        names = [f'{of}_r_{i}' for i, of in enumerate(self.split)]
        return make_scene(names, self.split, [premultiply(image) for image in self.images], self.cameras)


def cameras_of(focal, centre=SIZE / 2, size=SIZE, distance=4.0, lens=None, is_fisheye=False):
    """Some of the built-in scene's cameras with another lens, `distance` from the middle."""
    views = procedural.views(16)[2]
    pose = views.camera_to_world[KEPT].copy()
    pose[:, :, 3] *= distance / procedural.RADIUS
    intrinsics = np.array([[focal[0], 0, centre[0]], [0, focal[1], centre[1]], [0, 0, 1]], np.float32)
    count = len(KEPT)
    cameras = Camera(
        camera_to_world=pose,
        camera_to_pixel=np.tile(intrinsics, (count, 1, 1)),
        width=np.full(count, size[0], np.int32),
        height=np.full(count, size[1], np.int32),
        near=np.full(count, 2.0, np.float32),
        far=np.full(count, 6.0, np.float32),
    )
    if lens is None:
        return cameras
    return cameras.replace(lens=Lens(np.tile(np.float32(lens), (count, 1)), np.full(count, is_fisheye, np.int32)))


def truth_of(cameras):
    rays = by_camera(cameras, true_rays)
    images = [straight(picture(*each)) for each in zip(rays, by_camera(cameras, lambda camera: camera), strict=True)]
    origin, direction = rays[0]
    colours, distance = traced(rays[0])
    hit = colours[:, 3] > 0
    points = origin[hit] + distance[hit, None] * direction[hit] / np.linalg.norm(direction[hit], axis=1, keepdims=True)
    split = procedural.views(16)[1]
    return Truth(cameras, images, tuple(split[i] for i in KEPT), points[::20])


def elsewhere(truth):
    """The same scene in another world, x' = s R x + t."""
    pose = truth.cameras.camera_to_world.astype(np.float64)
    position = SCALED * pose[:, :, 3] @ TURNED.T + MOVED
    pose = np.concatenate([TURNED @ pose[:, :, :3], position[:, :, None]], axis=2)
    near, far = SCALED * truth.cameras.near, SCALED * truth.cameras.far
    cameras = truth.cameras.replace(camera_to_world=pose, near=near, far=far)
    return dataclasses.replace(truth, cameras=cameras, points=SCALED * truth.points @ TURNED.T + MOVED)


def expected_images(truth, format):
    scene, background = truth.scene, OPAQUE.get(format)
    whole = [scene.image(i) for i in range(len(scene.names))]
    if background is None:
        return whole
    over = [on_white(image) if background == WHITE else image[..., :3] for image in whole]
    return [np.append(image, np.full_like(image[..., :1], 255), axis=-1) for image in over]


def write_blender(folder, truth):
    for split in dict.fromkeys(truth.split):
        kept = [i for i, of in enumerate(truth.split) if of == split]
        poses = [[*truth.cameras.camera_to_world[i].astype(float).tolist(), [0.0, 0.0, 0.0, 1.0]] for i in kept]
        frames = [{'file_path': f'./{split}/r_{i}', 'transform_matrix': pose} for i, pose in zip(kept, poses, strict=True)]
        angle = 2 * np.arctan(SIZE[0] / 2 / truth.cameras.camera_to_pixel[0, 0, 0])
        write_images(folder, [f'{split}/r_{i}.png' for i in kept], [truth.images[i] for i in kept])
        Path(folder, f'transforms_{split}.json').write_text(json.dumps({'camera_angle_x': float(angle), 'frames': frames}))


def write_multiscale(folder, truth):
    write_blender(folder / 'blender', truth)
    multiscale.convert(str(folder / 'blender'), str(folder / 'multiscale'))


def write_tiny_nerf(folder, truth):
    scene = truth.scene
    poses = np.tile(np.eye(4), (len(truth.images), 1, 1))
    poses[:, :3] = truth.cameras.camera_to_world
    images = np.stack([scene.image(i)[..., :3] for i in range(len(truth.images))]).astype(np.float32) / 255
    np.savez(folder / 'tiny_nerf_data.npz', images=images, poses=poses, focal=truth.cameras.camera_to_pixel[0, 0, 0])


def write_colmap_scene(folder, truth, ending='.bin', model='PINHOLE'):
    write_images(folder / 'images', truth.names, truth.images)
    write_colmap(folder / 'sparse/0', truth.cameras, truth.names, lenses_of(truth.cameras, model), truth.points, ending)


def write_transforms_scene(folder, truth, **said):
    write_images(folder / 'images', truth.names, truth.images)
    write_transforms(folder / 'transforms.json', truth.cameras, [f'images/{name}' for name in truth.names], **said)


def lenses_of(cameras, model):
    """The cameras as COLMAP says them, by a model that has all parameters that they need."""
    return by_camera(cameras, lambda camera: (model, int(camera.width), int(camera.height), parameters(camera, model)))


def parameters(camera, model):
    k = np.asarray(camera.camera_to_pixel, np.float64)
    values = {'f': k[0, 0], 'fx': k[0, 0], 'fy': k[1, 1], 'cx': k[0, 2], 'cy': k[1, 2], **coefficients_of(camera)}
    return [float(values[name]) for name in PARAMETERS[model].split()]


def coefficients_of(camera):
    if camera.lens is None:
        return {}
    names = FISHEYE_COEFFICIENTS if camera.lens.is_fisheye else COEFFICIENTS
    return {name: float(value) for name, value in zip(names, camera.lens.coefficients, strict=False)}


WRITERS = {
    'blender': ('pinhole', write_blender),
    'tiny_nerf': ('pinhole', write_tiny_nerf),
    'llff': ('pinhole', lambda folder, truth: write_llff(folder, truth.scene)),
    'deepvoxels': ('square', lambda folder, truth: write_deepvoxels(folder, truth.scene)),
    'deepvoxels, middle': ('square', lambda folder, truth: write_deepvoxels(folder, truth.scene, lens_size=(64, 48))),
    'transforms': ('photo', write_transforms_scene),
    'colmap': ('photo', write_colmap_scene),
    'colmap, text': ('photo', lambda folder, truth: write_colmap_scene(folder, truth, '.txt')),
}
