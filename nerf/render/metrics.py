"""Metrics of one picture against its photograph.

`METRICS` maps their names to `Metric`s; the task `test`, its CSV and JSON, and the tables follow it. To add one, write its
function in a file of its own and add one line here.
"""

import dataclasses
import functools
from collections.abc import Callable

import numpy as np

from nerf.render.lpips import ALEXNET, VGG16, Network, lacks_lpips, lpips
from nerf.render.lpips_weights import is_installed


@dataclasses.dataclass(frozen=True)
class Metric:
    """One metric.

    Attributes:
        compute: (prediction, truth), both uint8 [h, w, 3], -> a number.
        label: in tables and in the log, with its unit.
        decimals: in tables.
        protocol: how it is measured, in a few words.
        lacks: (height, width) -> why pictures of this size have no value, '' where they have one.
        is_installed: whether what it needs is installed; one that is not is in no result.
        is_quick: whether validation views are measured with it during training.
    """

    compute: Callable[[np.ndarray, np.ndarray], float]
    label: str
    decimals: int
    protocol: str
    lacks: Callable[[int, int], str] = lambda height, width: ''
    is_installed: Callable[[], bool] = lambda: True
    is_quick: bool = True


def psnr(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Compute the peak signal-to-noise ratio of two uint8 images, dB: -10 log10(mean((p - t)^2)) with values in [0, 1]."""
    difference = (prediction.astype(np.float64) - truth.astype(np.float64)) / 255
    return float(-10 * np.log10(max(np.mean(difference**2), 1e-12)))


def blur(image: np.ndarray, sigma: float = 1.5, taps: int = 11) -> np.ndarray:
    """Blur [h, w, c] by a Gaussian over the valid window, -> [h - taps + 1, w - taps + 1, c]."""
    position = np.arange(taps) - (taps - 1) / 2
    kernel = np.exp(-0.5 * (position / sigma) ** 2)
    kernel /= kernel.sum()
    height, width = image.shape[0] - taps + 1, image.shape[1] - taps + 1
    rows = sum(k * image[i : i + height] for i, k in enumerate(kernel))
    return sum(k * rows[:, i : i + width] for i, k in enumerate(kernel))


def ssim(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Compute the structural similarity of two uint8 images [h, w, c] (Wang et al. 2004, as in `tf.image.ssim`).

    They are at least as large as its window, 11 px.
    """
    p, t = prediction.astype(np.float64) / 255, truth.astype(np.float64) / 255
    mean_p, mean_t = blur(p), blur(t)
    var_p, var_t = blur(p * p) - mean_p**2, blur(t * t) - mean_t**2
    cov = blur(p * t) - mean_p * mean_t
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_p * mean_t + c1) / (mean_p**2 + mean_t**2 + c1)
    structure = (2 * cov + c2) / (var_p + var_t + c2)
    return float(np.mean(luminance * structure))


def lacks_ssim(height: int, width: int) -> str:
    """Return why pictures of a size have no SSIM; '' for those that have one."""
    return 'smaller than 11 px' if min(height, width) < 11 else ''


def of_network(network: Network, name: str, is_quick: bool) -> Metric:
    """Make the metric LPIPS with one network."""
    return Metric(
        functools.partial(lpips, network),
        f'LPIPS ({name})',
        decimals=3,
        protocol=f'LPIPS ({name}): version 0.1, colours from -1 to 1',
        lacks=functools.partial(lacks_lpips, network),
        is_installed=is_installed,
        is_quick=is_quick,
    )


METRICS: dict[str, Metric] = {
    'psnr': Metric(psnr, 'PSNR, dB', decimals=2, protocol='mean of per-image PSNR'),
    'ssim': Metric(
        ssim,
        'SSIM',
        decimals=3,
        protocol='SSIM: 11-tap Gaussian, sigma 1.5, K 0.01 / 0.03, valid window, mean over channels',
        lacks=lacks_ssim,
    ),
    'lpips_alex': of_network(ALEXNET, 'AlexNet', is_quick=True),
    'lpips_vgg': of_network(VGG16, 'VGG', is_quick=False),
}
