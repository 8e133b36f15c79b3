"""Metrics of one picture against its photograph.

`METRICS` maps their names to `Metric`s; the task `test`, its CSV and JSON, and the tables follow it. To add one, write its
function in a file of its own and add one line here.
"""

import dataclasses
from collections.abc import Callable

import numpy as np


@dataclasses.dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        compute: (prediction, truth, used) -> a number; the pictures are uint8 [h, w, 3], and of them only the pixels count
            where `used`, bool [h, w], is True, or all if it is None. NaN where it has no value, as for pictures too small.
        label: in tables and in the log, with its unit.
        decimals: in tables.
    """

    compute: Callable[[np.ndarray, np.ndarray, np.ndarray | None], float]
    label: str
    decimals: int


def psnr(prediction: np.ndarray, truth: np.ndarray, used: np.ndarray | None = None) -> float:
    """Compute the peak signal-to-noise ratio of two uint8 images, dB: -10 log10(mean((p - t)^2)) with values in [0, 1].

    The mean is over the pixels where `used`, bool [h, w], is True, or all.
    """
    difference = (prediction.astype(np.float64) - truth.astype(np.float64)) / 255
    difference = difference if used is None else difference[used]
    return float(-10 * np.log10(max(np.mean(difference**2), 1e-12)))


def blur(image: np.ndarray, sigma: float = 1.5, taps: int = 11) -> np.ndarray:
    """Blur [h, w, c] by a Gaussian over the valid window, -> [h - taps + 1, w - taps + 1, c]."""
    position = np.arange(taps) - (taps - 1) / 2
    kernel = np.exp(-0.5 * (position / sigma) ** 2)
    kernel /= kernel.sum()
    height, width = image.shape[0] - taps + 1, image.shape[1] - taps + 1
    rows = sum(k * image[i : i + height] for i, k in enumerate(kernel))
    return sum(k * rows[:, i : i + width] for i, k in enumerate(kernel))


def ssim(prediction: np.ndarray, truth: np.ndarray, used: np.ndarray | None = None) -> float:
    """Compute the structural similarity of two uint8 images [h, w, c] (Wang et al. 2004, as in `tf.image.ssim`).

    With `used`, bool [h, w], each window's means weight a pixel by its Gaussian where it is True and by 0 elsewhere, and
    the result is the mean over windows whose middle is used: other pixels count nowhere.
    NaN for images smaller than the window of 11 pixels, or none of whose windows' middles are used.
    """
    if min(truth.shape[:2]) < 11:
        return float('nan')
    p, t = prediction.astype(np.float64) / 255, truth.astype(np.float64) / 255
    local = blur
    if used is not None:
        middle, share = used[5:-5, 5:-5], blur(used[..., None].astype(np.float64))
        if not middle.any():
            return float('nan')

        def local(image: np.ndarray) -> np.ndarray:
            return blur(image * used[..., None])[middle] / share[middle]

    mean_p, mean_t = local(p), local(t)
    var_p, var_t = local(p * p) - mean_p**2, local(t * t) - mean_t**2
    cov = local(p * t) - mean_p * mean_t
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_p * mean_t + c1) / (mean_p**2 + mean_t**2 + c1)
    structure = (2 * cov + c2) / (var_p + var_t + c2)
    return float(np.mean(luminance * structure))


METRICS: dict[str, Metric] = {
    'psnr': Metric(psnr, 'PSNR, dB', decimals=2),
    'ssim': Metric(ssim, 'SSIM', decimals=3),
}
