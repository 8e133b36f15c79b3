"""Statistics of a scene: the layout of its cameras, and brightness, sharpness and borders of its photos."""

from concurrent.futures import ThreadPoolExecutor
from typing import NamedTuple

import numpy as np

from nerf.data.poses import focus_point
from nerf.data.scene import Scene
from nerf.ray.cameras import Camera

NEIGHBOURS = 8  # most similar views that each photo is compared with, as they differ little in brightness and sharpness
ALIKE = 1.25  # ratio of widths up to which photos are compared
MOST_PIXELS = 1000  # px, wider photos are measured after averaging blocks
BORDER = 0.02  # of the width
SAME_COLOUR = 12  # of 255
ONE_COLOUR = 0.8  # share of a border in its median colour from which on it counts as background
LUMINANCE = np.array([0.2126, 0.7152, 0.0722], np.float32)


class Layout(NamedTuple):
    """Layout of the cameras.

    Attributes:
        focus: focus point, the point nearest to all optical axes, [3], world.
        distance: of each camera from the focus point, [k], world.
        elevation: of each camera above the focus point, [k], degrees; z is up.
        gap: the widest angle around the z axis without a camera, degrees.
        next_place: distance from each camera position to the nearest other one, [places], world.
    """

    focus: np.ndarray
    distance: np.ndarray
    elevation: np.ndarray
    gap: float
    next_place: np.ndarray


class PhotoFacts(NamedTuple):
    """Measurements of each photo, [k].

    Attributes:
        has_alpha: whether some pixel is not opaque.
        brightness: mean linear luminance of opaque pixels, [0, 1]; pixels in the colour of a border of one colour do not count.
        sharpness: variance of the Laplacian of the sRGB grey, which blur reduces.
        border: share of the border that has its median colour, [0, 1].
        border_colour: that colour, [k, 3], uint8.
    """

    has_alpha: np.ndarray
    brightness: np.ndarray
    sharpness: np.ndarray
    border: np.ndarray
    border_colour: np.ndarray


def layout(cameras: Camera) -> Layout:
    """Measure how stacked cameras are placed around their focus point."""
    poses = np.asarray(cameras.camera_to_world, np.float64)
    positions, focus = poses[:, :, 3], focus_point(poses)
    away = positions - focus
    distance = np.linalg.norm(away, axis=1)
    azimuth = np.sort(np.degrees(np.arctan2(away[:, 1], away[:, 0])))
    return Layout(
        focus=focus,
        distance=distance,
        elevation=np.degrees(np.arcsin(np.clip(away[:, 2] / np.maximum(distance, 1e-9), -1, 1))),
        gap=float(np.diff(azimuth, append=azimuth[0] + 360).max()),
        next_place=nearest(places(cameras))[0],
    )


def nearest(points: np.ndarray, others: np.ndarray | None = None) -> tuple[np.ndarray, np.ndarray]:
    """Return the distance [k] from each of `points` [k, d] to the nearest of `others` [n, d], and its index [k].

    `others` None: the nearest of the other points; the distance of a single point is infinite.
    """
    distances, indices = np.zeros(len(points)), np.zeros(len(points), np.int64)
    for i, point in enumerate(points):
        to = np.linalg.norm((points if others is None else others) - point, axis=1)
        if others is None:
            to[i] = np.inf
        indices[i] = np.argmin(to)
        distances[i] = to[indices[i]]
    return distances, indices


def places(cameras: Camera) -> np.ndarray:
    """Return the positions of stacked cameras, each once, [places, 3], float64, world."""
    return np.unique(np.asarray(cameras.camera_to_world[:, :, 3], np.float64).round(6), axis=0)


def pose_features(cameras: Camera) -> np.ndarray:
    """Compute features whose distance measures how different two views are: position / focus distance, axis, up, [k, 9]."""
    poses = np.asarray(cameras.camera_to_world, np.float64)
    scale = np.median(layout(cameras).distance)
    return np.concatenate([poses[:, :, 3] / max(scale, 1e-9), poses[:, :, 2], poses[:, :, 1]], axis=1)


def to_neighbours(values: np.ndarray, cameras: Camera) -> np.ndarray:
    """Divide each photo's value by the median of the most similar views of about its size, [k]; 1 if they are too few."""
    features, width = pose_features(cameras), np.asarray(cameras.width, np.float64)
    ratios = np.ones(len(values))
    for i in range(len(values)):
        different = np.linalg.norm(features - features[i], axis=1)
        is_comparable = (np.abs(np.log(width / width[i])) < np.log(ALIKE)) & (np.arange(len(values)) != i)
        others = np.flatnonzero(is_comparable)
        if len(others) >= NEIGHBOURS // 2:
            closest = others[np.argsort(different[others], kind='stable')[:NEIGHBOURS]]
            ratios[i] = values[i] / max(np.median(values[closest]), 1e-12)
    return ratios


def depths_in_view(cameras: Camera, index: int, points: np.ndarray) -> np.ndarray:
    """Return the depths [m], world, of the `points` [n, 3] that project into the image of one camera (no distortion)."""
    pose = np.asarray(cameras.camera_to_world[index], np.float64)
    local = (points - pose[:, 3]) @ pose[:, :3] * [1, -1, -1]
    ahead = local[local[:, 2] > 0]
    xy = ahead @ np.asarray(cameras.camera_to_pixel[index], np.float64).T
    xy = xy[:, :2] / xy[:, 2:]
    return ahead[np.all((xy >= 0) & (xy <= [cameras.width[index], cameras.height[index]]), axis=1), 2]


def measure_photos(scene: Scene) -> PhotoFacts:
    """Measure all photos of a scene."""
    with ThreadPoolExecutor() as pool:  # numpy releases the GIL
        measured = list(pool.map(lambda i: measure_photo(scene.image(i)), range(len(scene.names))))
    return PhotoFacts(*(np.array(values) for values in zip(*measured, strict=True)))


def measure_photo(image: np.ndarray) -> tuple[bool, float, float, float, np.ndarray]:
    """Measure one photo, premultiplied uint8 [height, width, 4]; return the values in the order of `PhotoFacts`."""
    colours = _in_blocks(image, max(1, image.shape[1] // MOST_PIXELS))
    grey = colours[..., :3].mean(-1)
    inner = grey[1:-1, 1:-1]
    laplacian = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:] - 4 * inner
    rim = max(1, round(BORDER * image.shape[1]))
    parts = (image[:rim], image[-rim:], image[:, :rim], image[:, -rim:])
    border = np.concatenate([part[..., :3].reshape(-1, 3) for part in parts])
    colour = np.median(border, axis=0)
    share = (np.abs(border - colour).max(-1) <= SAME_COLOUR).mean()
    is_seen = colours[..., 3] > 127
    if share >= ONE_COLOUR:
        is_seen &= np.abs(colours[..., :3] - colour).max(-1) > SAME_COLOUR
    return (
        bool(image[..., 3].min() < 255),
        mean_luminance(colours[is_seen][:, :3]),
        float(laplacian.var()) if laplacian.size else 0.0,
        float(share),
        colour.astype(np.uint8),
    )


def mean_luminance(colours: np.ndarray) -> float:
    """Compute the mean linear luminance (Rec. 709) of sRGB colours [n, 3] in [0, 255], in [0, 1]; 0 if there are none."""
    if not len(colours):
        return 0.0
    srgb = colours / 255
    linear = np.where(srgb <= 0.04045, srgb / 12.92, ((srgb + 0.055) / 1.055) ** 2.4)
    return float((linear @ LUMINANCE).mean())


def _in_blocks(image: np.ndarray, size: int) -> np.ndarray:
    """Average blocks of `size` x `size` pixels, float32; the remainder at the right and bottom is cropped."""
    if size == 1:
        return image.astype(np.float32)
    height, width = (length // size for length in image.shape[:2])
    blocks = image[: height * size, : width * size].reshape(height, size, width, size, 4)
    return blocks.mean(axis=(1, 3), dtype=np.float32)
