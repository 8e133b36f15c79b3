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
        compute: (prediction, truth), both uint8 [h, w, 3], -> a number; with `takes_mask` also (prediction, truth, used), of
            the pixels alone where `used`, bool [h, w], is True; NaN where these have no value.
        label: in tables and in the log, with its unit.
        decimals: in tables.
        protocol: how it is measured, in a few words.
        lacks: (height, width) -> why pictures of this size have no value, '' where they have one.
        is_installed: whether what it needs is installed; one that is not is in no result.
        is_quick: whether validation views are measured with it during training.
        takes_mask: whether it can leave out pixels that a mask takes out.
    """

    compute: Callable[..., float]
    label: str
    decimals: int
    protocol: str
    lacks: Callable[[int, int], str] = lambda height, width: ''
    is_installed: Callable[[], bool] = lambda: True
    is_quick: bool = True
    takes_mask: bool = False


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
    the result is the mean over windows whose middle is used, NaN if there is none: other pixels count nowhere.
    The images are at least as large as its window, 11 px.
    """
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
    'psnr': Metric(psnr, 'PSNR, dB', decimals=2, protocol='mean of per-image PSNR', takes_mask=True),
    'ssim': Metric(
        ssim,
        'SSIM',
        decimals=3,
        protocol='SSIM: 11-tap Gaussian, sigma 1.5, K 0.01 / 0.03, valid window, mean over channels',
        lacks=lacks_ssim,
        takes_mask=True,
    ),
    'lpips_alex': of_network(ALEXNET, 'AlexNet', is_quick=True),
    'lpips_vgg': of_network(VGG16, 'VGG', is_quick=False),
}
