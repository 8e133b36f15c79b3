"""Numbers as colours: pictures of depth, opacity and error that a person can read."""

import matplotlib
import numpy as np

from nerf.ray.cameras import Camera
from nerf.render.image import Picture, to_uint8


def colour_map(values: np.ndarray, name: str) -> np.ndarray:
    """Colour values [h, w] in [0, 1] by one of matplotlib's colour maps, uint8 [h, w, 3]."""
    return to_uint8(matplotlib.colormaps[name](np.clip(values, 0.0, 1.0))[..., :3])


def visible_depths(depth: np.ndarray, acc: np.ndarray) -> np.ndarray:
    """Return the depths of opaque pixels (acc > 1/2), [n]; all of them if there are none."""
    return depth[acc > 0.5] if np.any(acc > 0.5) else depth.reshape(-1)


def percentile_range(depths: np.ndarray) -> tuple[float, float]:
    """Nearest and farthest depth worth a colour: the 1st and 99th percentile."""
    low, high = np.percentile(depths, [1, 99])
    low = max(float(low), 1e-6)
    return low, max(float(high), low * (1 + 1e-6))


def depth_range(depth: np.ndarray, acc: np.ndarray) -> tuple[float, float]:
    """Nearest and farthest depth worth a colour in one picture."""
    return percentile_range(visible_depths(depth, acc))


def depth_picture(depth: np.ndarray, acc: np.ndarray, limits: tuple[float, float] | None = None) -> np.ndarray:
    """Depth [h, w] as colours over `limits`: near bright, far dark, nothing black; uint8 [h, w, 3].

    Even in log(depth), so that a scene without bounds shows both its middle and what is behind it.
    """
    low, high = limits or depth_range(depth, acc)
    nearness = np.log(high / np.maximum(depth, 1e-9)) / np.log(high / low)
    return to_uint8(colour_map(nearness, 'magma') / 255 * np.clip(acc, 0, 1)[..., None])


def normal_picture(normal: np.ndarray, acc: np.ndarray) -> np.ndarray:
    """Unit vectors [h, w, 3] as colours, (n + 1) / 2, nothing black; uint8 [h, w, 3]."""
    return to_uint8((0.5 * normal.astype(np.float32) + 0.5) * np.clip(acc, 0, 1)[..., None])


def world_to_camera_axes(normal: np.ndarray, camera: Camera) -> np.ndarray:
    """World vectors [h, w, 3] along the camera's right, up and backward axes."""
    return normal.astype(np.float32) @ np.asarray(camera.camera_to_world)[:, :3]


def acc_picture(acc: np.ndarray) -> np.ndarray:
    """Opacity [h, w] as grey, uint8 [h, w]."""
    return to_uint8(acc)


def value_picture(values: np.ndarray, limits: tuple[float, float] | None = None) -> np.ndarray:
    """Colour numbers [h, w] over `limits` (their 1st to 99th percentile), or vectors [h, w, 3] as RGB; uint8 [h, w, 3]."""
    if values.ndim == 3 and values.shape[-1] == 3:
        return to_uint8(values)
    scalar = values if values.ndim == 2 else np.linalg.norm(values, axis=-1)
    low, high = limits or np.percentile(scalar, [1, 99])
    return colour_map((scalar - low) / max(high - low, 1e-9), 'viridis')


def rgba_picture(premultiplied: np.ndarray) -> np.ndarray:
    """Colour times opacity, and opacity, [h, w, 4], as a picture with transparency whose colours are whole; uint8 [h, w, 4]."""
    acc = np.clip(premultiplied[..., 3:], 0.0, 1.0)
    colour = np.divide(premultiplied[..., :3], acc, out=np.zeros_like(premultiplied[..., :3]), where=acc > 1e-6)
    return to_uint8(np.concatenate([colour, acc], axis=-1))


def error_picture(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Absolute difference of two uint8 pictures, mean over channels, a quarter of the range already bright; uint8 [h, w, 3]."""
    difference = np.abs(prediction.astype(np.float64) - truth.astype(np.float64)).mean(-1) / 255
    return colour_map(4 * difference, 'inferno')


def pictures(rendered: Picture) -> dict[str, np.ndarray]:
    """Make the files of one view, by the ending of their names: rgb, depth and acc as uint8."""
    return {
        'rgb': to_uint8(rendered['rgb']),
        'depth': depth_picture(rendered['depth'], rendered['acc']),
        'acc': acc_picture(rendered['acc']),
    }
