"""Numbers as colours: pictures of depth, opacity and error that a person can read."""

import matplotlib
import numpy as np

from nerf.rendering import Picture, to_uint8


def colour_map(values: np.ndarray, name: str) -> np.ndarray:
    """Values [h, w] in [0, 1] in one of matplotlib's colour maps, uint8 [h, w, 3]."""
    return to_uint8(matplotlib.colormaps[name](np.clip(values, 0.0, 1.0))[..., :3])


def depth_range(depth: np.ndarray, acc: np.ndarray) -> tuple[float, float]:
    """Nearest and farthest depth worth a colour: the 1st and 99th percentile where something is (acc > 1/2)."""
    seen = depth[acc > 0.5] if np.any(acc > 0.5) else depth
    low, high = np.percentile(seen, [1, 99])
    return float(low), float(max(high, low + 1e-6))


def depth_picture(depth: np.ndarray, acc: np.ndarray, limits: tuple[float, float] | None = None) -> np.ndarray:
    """Depth [h, w] as colours over `limits`: near bright, far dark, nothing black; uint8 [h, w, 3]."""
    low, high = limits or depth_range(depth, acc)
    nearness = 1 - (depth - low) / (high - low)
    return to_uint8(colour_map(nearness, 'magma') / 255 * np.clip(acc, 0, 1)[..., None])


def acc_picture(acc: np.ndarray) -> np.ndarray:
    """Opacity [h, w] as grey, uint8 [h, w]."""
    return to_uint8(acc)


def error_picture(prediction: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """Absolute difference of two uint8 pictures, mean over channels, a quarter of the range already bright; uint8 [h, w, 3]."""
    difference = np.abs(prediction.astype(np.float64) - truth.astype(np.float64)).mean(-1) / 255
    return colour_map(4 * difference, 'inferno')


def pictures(rendered: Picture) -> dict[str, np.ndarray]:
    """The files of one view, by the ending of their names: rgb, depth and acc as uint8."""
    return {
        'rgb': to_uint8(rendered['rgb']),
        'depth': depth_picture(rendered['depth'], rendered['acc']),
        'acc': acc_picture(rendered['acc']),
    }
