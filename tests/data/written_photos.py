"""The cameras of the built-in scene, written as instant-ngp, nerfstudio and COLMAP do, for the tests of these loaders."""

import functools
import json
import struct
from pathlib import Path

import jax
import numpy as np
from PIL import Image
from scipy.spatial.transform import Rotation

from nerf.data import procedural
from nerf.data.formats.colmap_cameras import MODEL_NAMES
from nerf.ray.cameras import Camera

TURN = np.diag([1.0, -1.0, -1.0])


@functools.cache
def built_in(count: int = 9, width: int = 12) -> tuple[Camera, list[np.ndarray]]:
    """Every sixth training camera of the built-in scene, stacked, and an image for each, straight RGBA.

    The images are noise, which is made faster than what the cameras see. Of the i-th, i // 2 columns on the right and i // 4
    rows below are cut off, so that it has a size of its own and its principal point is off the middle.
    """
    _, _, cameras = procedural.views(width)
    cameras = jax.tree.map(lambda field: field[: 6 * count : 6], cameras)
    cut = np.arange(count, dtype=np.int32) // 2
    cameras = cameras.replace(width=cameras.width - cut, height=cameras.height - cut // 2)
    rng = np.random.default_rng(0)
    sizes = zip(cameras.height, cameras.width, strict=True)
    return cameras, [rng.integers(0, 256, (height, width, 4), dtype=np.uint8) for height, width in sizes]


def write_images(folder: Path, names: list[str], images: list[np.ndarray]) -> None:
    """Image files, in the folders that their names say."""
    for name, image in zip(names, images, strict=True):
        Path(folder, name).parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(image).save(Path(folder, name))


def intrinsics_of(cameras: Camera, i: int) -> dict[str, float]:
    """What a transforms.json says about one camera."""
    lens = np.asarray(cameras.camera_to_pixel[i], np.float64)
    numbers = {'fl_x': lens[0, 0], 'fl_y': lens[1, 1], 'cx': lens[0, 2], 'cy': lens[1, 2]}
    return {**numbers, 'w': int(cameras.width[i]), 'h': int(cameras.height[i])}


def write_transforms(path: Path, cameras: Camera, names: list[str], **said: object) -> dict:
    """A transforms.json whose frames say their own intrinsics, without images; `said` is of the whole file. -> its content."""
    bottom = [0.0, 0.0, 0.0, 1.0]
    frames = [
        {'file_path': name, 'transform_matrix': [*pose.tolist(), bottom], **intrinsics_of(cameras, i)}
        for i, (name, pose) in enumerate(zip(names, np.asarray(cameras.camera_to_world, np.float64), strict=True))
    ]
    content = {'aabb_scale': 4, **said, 'frames': frames[::-1]}  # not in the order of their names
    path.write_text(json.dumps(content))
    return content


def pinhole(cameras: Camera, i: int) -> tuple[str, int, int, list[float]]:
    """A camera as COLMAP says it: model, width, height, parameters."""
    lens = np.asarray(cameras.camera_to_pixel[i], np.float64)
    return 'PINHOLE', int(cameras.width[i]), int(cameras.height[i]), lens[[0, 1, 0, 1], [0, 1, 2, 2]].tolist()


def world_to_camera(pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """COLMAP's quaternion (w, x, y, z) and translation of a camera_to_world [3, 4] with OpenGL's axes."""
    rotation = Rotation.from_matrix((np.asarray(pose[:, :3], np.float64) @ TURN).T)  # orthonormal also to the last digit
    return rotation.as_quat()[[3, 0, 1, 2]], -rotation.as_matrix() @ np.asarray(pose[:, 3], np.float64)


def write_colmap(
    folder: Path,
    cameras: Camera,
    names: list[str],
    lenses: list[tuple[str, int, int, list[float]]] | None = None,
    points: np.ndarray = (),
    ending: str = '.bin',
) -> None:
    """A COLMAP model with one camera for each image, without images; `lenses` (as `pinhole`) are said instead of theirs."""
    folder.mkdir(parents=True)
    lenses = lenses or [pinhole(cameras, i) for i in range(len(names))]
    poses = [world_to_camera(pose) for pose in cameras.camera_to_world]
    write = {'.bin': _write_binary, '.txt': _write_text}[ending]
    for part, content in write(names, lenses, poses, points).items():
        Path(folder, part + ending).write_bytes(content)


def _write_binary(names: list[str], lenses: list, poses: list, points: np.ndarray) -> dict[str, bytes]:
    cameras, images, xyz = [[struct.pack('<Q', len(each))] for each in (lenses, names, points)]
    for i, (model, width, height, params) in enumerate(lenses):
        cameras.append(struct.pack(f'<IiQQ{len(params)}d', 7 + i, MODEL_NAMES.index(model), width, height, *params))
    for i in reversed(range(len(names))):
        quaternion, translation = poses[i]
        images.append(struct.pack('<I7dI', 100 + i, *quaternion, *translation, 7 + i) + names[i].encode() + b'\0')
        images.append(struct.pack('<Q2dq', 1, 1.0, 2.0, -1))
    for i, point in enumerate(points):
        xyz.append(struct.pack('<Q3d3BdQII', i, *point, 1, 2, 3, 0.5, 1, 100, 0))
    return {'cameras': b''.join(cameras), 'images': b''.join(images), 'points3D': b''.join(xyz)}


def _write_text(names: list[str], lenses: list, poses: list, points: np.ndarray) -> dict[str, bytes]:
    def lines(rows: list[tuple]) -> bytes:
        return '\n'.join(['# a comment', *(' '.join(map(str, row)) for row in rows), '']).encode()

    cameras = [(7 + i, *lens[:3], *lens[3]) for i, lens in enumerate(lenses)]
    images = []
    for i in reversed(range(len(names))):
        quaternion, translation = poses[i]
        images += [(100 + i, *quaternion.tolist(), *translation.tolist(), 7 + i, names[i]), (1.0, 2.0, -1)]
    xyz = [(i, *map(float, point), 1, 2, 3, 0.5, 100, 0) for i, point in enumerate(points)]
    return {'cameras': lines(cameras), 'images': lines(images), 'points3D': lines(xyz)}
