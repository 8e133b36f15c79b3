"""The one internal form of a scene: images, cameras and splits, whatever format they came from."""

import dataclasses
from collections.abc import Sequence

import jax
import numpy as np

from nerf.errors import UserError
from nerf.ray.cameras import Camera

SPLITS = ('train', 'val', 'test')


@dataclasses.dataclass(frozen=True)
class Scene:
    """Posed images, of any sizes.

    Attributes:
        names: one per image, unique: the split and the file's name without folder and ending, `test_r_0`.
        split: one of `SPLITS` per image.
        pixels: uint8 [sum of width x height, 4]: premultiplied sRGB and alpha of all images, row by row, back to back.
        cameras: a `Camera` of numpy arrays with a leading image axis.
    """

    names: tuple[str, ...]
    split: tuple[str, ...]
    pixels: np.ndarray
    cameras: Camera

    @property
    def offsets(self) -> np.ndarray:
        """Where each image's pixels start in `pixels`, int64 [images + 1]; the last entry is their number."""
        sizes = self.cameras.width.astype(np.int64) * self.cameras.height
        return np.concatenate([[0], np.cumsum(sizes)])

    def indices(self, split: str) -> np.ndarray:
        """The images of a split, in file order, int32 [k]."""
        return np.array([i for i, name in enumerate(self.split) if name == split], np.int32)

    def image(self, index: int) -> np.ndarray:
        """One image, uint8 [height, width, 4], premultiplied."""
        start, stop = self.offsets[index : index + 2]
        return self.pixels[start:stop].reshape(int(self.cameras.height[index]), int(self.cameras.width[index]), 4)

    def stem(self, index: int) -> str:
        """The name of an image's file without folder and ending, unique within its split (`r_0`): renders are named so."""
        return self.names[index].removeprefix(f'{self.split[index]}_')

    def camera(self, index: int) -> Camera:
        """One camera."""
        return jax.tree.map(lambda field: field[index], self.cameras)


def make_scene(names: Sequence[str], split: Sequence[str], images: Sequence[np.ndarray], cameras: Camera) -> Scene:
    """A `Scene` from premultiplied uint8 images [height, width, 4] and their stacked cameras, checked.

    Raises:
        UserError: a pose or focal length that cannot be, an image whose size is not its camera's, no training image.
    """
    for i, (name, image) in enumerate(zip(names, images, strict=True)):
        size = (int(cameras.height[i]), int(cameras.width[i]))
        if image.shape != (*size, 4) or image.dtype != np.uint8:
            raise UserError(f'image {name}: found {image.dtype} {image.shape}, expected uint8 {(*size, 4)} by its camera')
        check_camera(name, jax.tree.map(lambda field, i=i: field[i], cameras))
    if 'train' not in split:
        raise UserError(f'no training image among {len(names)}: check the split files')
    return Scene(tuple(names), tuple(split), np.concatenate([image.reshape(-1, 4) for image in images]), cameras)


def check_camera(name: str, camera: Camera) -> None:
    """Refuse a camera that cannot be: non-finite, not a rotation, no focal length, near not before far.

    Raises:
        UserError: naming the camera and what was found.
    """
    pose = np.asarray(camera.camera_to_world, np.float64)
    if not np.isfinite(pose).all():
        raise UserError(f'camera of {name}: its pose has a value that is not finite; repair or remove this frame')
    rotation = pose[:, :3]
    if not np.allclose(rotation.T @ rotation, np.eye(3), atol=1e-3) or np.linalg.det(rotation) < 0:
        raise UserError(f'camera of {name}: its 3x3 part is not a rotation (right-handed, orthonormal columns)')
    lens = np.asarray(camera.camera_to_pixel, np.float64)
    if not np.isfinite(lens).all() or lens[0, 0] <= 0 or lens[1, 1] <= 0:
        raise UserError(f'camera of {name}: focal lengths {lens[0, 0]}, {lens[1, 1]} px found, expected positive numbers')
    if not (np.isfinite(camera.near) and np.isfinite(camera.far) and 0 <= camera.near < camera.far):
        raise UserError(f'camera of {name}: near {camera.near} and far {camera.far} found, expected 0 <= near < far')


def stack_cameras(poses: np.ndarray, lenses: np.ndarray, sizes: np.ndarray, near: float, far: float) -> Camera:
    """Cameras with a leading axis from poses [k, 3, 4], intrinsics [k, 3, 3], (width, height) [k, 2] and one range."""
    count = len(poses)
    return Camera(
        camera_to_world=np.asarray(poses, np.float32),
        camera_to_pixel=np.asarray(lenses, np.float32),
        width=np.asarray(sizes)[:, 0].astype(np.int32),
        height=np.asarray(sizes)[:, 1].astype(np.int32),
        near=np.full(count, near, np.float32),
        far=np.full(count, far, np.float32),
    )


def with_corner_pixels(scene: Scene) -> Scene:
    """The scene with rays through the corners of pixels instead of their centres, as the original NeRF code casts them.

    The principal point moves by half a pixel, so training and evaluation agree. The `paper` switch of NUMERICS: on
    images of 800 px it is worth little, on images reduced to 100 px it is what makes NeRF fall behind.
    """
    lenses = scene.cameras.camera_to_pixel.copy()
    lenses[:, :2, 2] += 0.5
    return dataclasses.replace(scene, cameras=scene.cameras.replace(camera_to_pixel=lenses))
