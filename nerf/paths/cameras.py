"""Pinhole cameras of a path, with the size, intrinsics and range of the scene's training cameras."""

import numpy as np

from nerf.data.scene import Scene, stack_cameras
from nerf.errors import UserError
from nerf.ray.cameras import Camera

MAX_SIDE = 16_384  # px, width or height of an image
WIDEST = 85.0  # degrees off -z: in NDC, rays at 90 degrees are infinitely long
CORNERS = np.array([[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 1.0]])  # of an image of width and height 1


def training(scene: Scene) -> Camera:
    """Return the training cameras, stacked, in file order."""
    chosen = scene.indices('train')
    return scene.cameras.at(chosen)


def frame_size(cameras: Camera) -> tuple[int, int]:
    """Return width and height, px, of the image with the median area, so that its shape is one that occurs."""
    area = np.asarray(cameras.width, np.int64) * cameras.height
    middle = np.argsort(area, kind='stable')[len(area) // 2]
    return int(cameras.width[middle]), int(cameras.height[middle])


def lenses_at(cameras: Camera, size: tuple[int, int]) -> np.ndarray:
    """Rescale the intrinsics (f_x, f_y, c_x, c_y) of stacked cameras to this image size, [k, 4], px.

    Focal lengths are scaled with the square root of the area, so that portrait and landscape images of one camera agree.
    """
    lenses = np.asarray(cameras.camera_to_pixel, np.float64)
    sizes = np.stack([cameras.width, cameras.height], axis=1).astype(np.float64)
    scale = np.sqrt(np.prod(size) / np.prod(sizes, axis=1, keepdims=True))
    focal, centre = lenses[:, [0, 1], [0, 1]], lenses[:, :2, 2]
    return np.concatenate([focal * scale, centre / sizes * size], axis=1)


def pinholes(
    cameras: Camera, poses: np.ndarray, lenses: np.ndarray | None = None, size: tuple[int, int] | None = None
) -> Camera:
    """Build the pinhole cameras of a path at `poses` [n, 3, 4], with near, far and NDC of the training `cameras`.

    Args:
        lenses: intrinsics (f_x, f_y, c_x, c_y), [n, 4], px; None: the median of the training cameras' for all frames.
        size: width and height, px; None: that of the training images (`frame_size`).
    """
    size, count = size or frame_size(cameras), len(poses)
    if lenses is None:
        lenses = np.tile(np.median(lenses_at(cameras, size), axis=0), (count, 1))
    matrices = np.tile(np.eye(3), (count, 1, 1))
    matrices[:, [0, 1, 0, 1], [0, 1, 2, 2]] = lenses
    path = stack_cameras(poses, matrices, np.tile(size, (count, 1)), np.min(cameras.near), np.max(cameras.far))
    return path if cameras.ndc is None else path.replace(ndc=np.tile(cameras.ndc[:1], (count, 1)))


def resized(path: Camera, width: int | None, factor: int) -> Camera:
    """Rescale the images of a path to `width` px or, if None, downscale them by `factor`; the views stay the same."""
    old = np.array([path.width[0], path.height[0]])
    width = width or max(1, round(old[0] / factor))
    if width == old[0]:
        return path
    size = np.array([width, max(1, round(old[1] * width / old[0]))])
    lenses = path.camera_to_pixel.copy()
    lenses[:, :2] *= (size / old)[:, None]
    sides = np.tile(size.astype(np.int32), (len(lenses), 1))
    return path.replace(camera_to_pixel=lenses, width=sides[:, 0], height=sides[:, 1])


def corner_rays(path: Camera) -> np.ndarray:
    """Compute the directions through the image corners of stacked pinhole cameras, at depth 1, [n, 4, 3], world."""
    lenses = np.asarray(path.camera_to_pixel, np.float64)
    pixels = CORNERS * np.stack([path.width, path.height], axis=1)[:, None]
    xy = (pixels - lenses[:, None, :2, 2]) / lenses[:, None, [0, 1], [0, 1]]
    rays = np.concatenate([xy * [1, -1], np.full((*xy.shape[:2], 1), -1.0)], axis=2)
    return rays @ np.swapaxes(np.asarray(path.camera_to_world, np.float64)[:, :, :3], 1, 2)


def check_sees_ahead(path: Camera, remedy: str = 'use the path spiral') -> None:
    """Refuse a path of a forward-facing scene with rays more than 85 degrees off -z: NDC only represents space ahead.

    Raises:
        UserError: naming the frame that is farthest off.
    """
    if path.ndc is None:
        return
    rays = corner_rays(path)
    angles = np.degrees(np.arccos(np.clip(-rays[..., 2] / np.linalg.norm(rays, axis=2), -1, 1))).max(1)
    if angles.max() > WIDEST:
        frame = int(np.argmax(angles))
        raise UserError(
            f'frame {frame} of the path sees {angles[frame]:.0f} degrees off the viewing direction of this forward-facing '
            f'scene, expected {WIDEST:.0f} at most; {remedy}, or turn this camera'
        )
