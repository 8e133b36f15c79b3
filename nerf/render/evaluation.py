"""How good a picture is, under one named protocol."""

from collections.abc import Sequence

import numpy as np

PROTOCOL = (
    'prediction and truth rounded to 8 bit / 255, composited over the background in sRGB; mean of per-image PSNR; '
    'SSIM: 11-tap Gaussian, sigma 1.5, K 0.01 / 0.03, valid window, mean over channels'
)


def psnr(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Peak signal-to-noise ratio of two uint8 images, dB: -10 log10(mean((p - t)^2)) with values in [0, 1]."""
    difference = (prediction.astype(np.float64) - truth.astype(np.float64)) / 255
    return float(-10 * np.log10(max(np.mean(difference**2), 1e-12)))


def blur(image: np.ndarray, sigma: float = 1.5, taps: int = 11) -> np.ndarray:
    """Gaussian blur of [h, w, c] over the valid window, -> [h - taps + 1, w - taps + 1, c]."""
    position = np.arange(taps) - (taps - 1) / 2
    kernel = np.exp(-0.5 * (position / sigma) ** 2)
    kernel /= kernel.sum()
    height, width = image.shape[0] - taps + 1, image.shape[1] - taps + 1
    rows = sum(k * image[i : i + height] for i, k in enumerate(kernel))
    return sum(k * rows[:, i : i + width] for i, k in enumerate(kernel))


def ssim(prediction: np.ndarray, truth: np.ndarray) -> float:
    """Structural similarity of two uint8 images [h, w, c] of at least 11 px (Wang et al. 2004, as in `tf.image.ssim`)."""
    p, t = prediction.astype(np.float64) / 255, truth.astype(np.float64) / 255
    mean_p, mean_t = blur(p), blur(t)
    var_p, var_t = blur(p * p) - mean_p**2, blur(t * t) - mean_t**2
    cov = blur(p * t) - mean_p * mean_t
    c1, c2 = 0.01**2, 0.03**2
    luminance = (2 * mean_p * mean_t + c1) / (mean_p**2 + mean_t**2 + c1)
    structure = (2 * cov + c2) / (var_p + var_t + c2)
    return float(np.mean(luminance * structure))


def over_background(premultiplied: np.ndarray, background: str) -> np.ndarray:
    """The truth as a uint8 picture [h, w, 3]: premultiplied [h, w, 4] over 'white', 'black' or (for 'random') grey."""
    level = {'white': 1.0, 'black': 0.0, 'random': 0.5}[background]
    alpha = premultiplied[..., 3:].astype(np.float64)
    return np.round(np.minimum(premultiplied[..., :3] + level * (255 - alpha), 255)).astype(np.uint8)


def compare(prediction: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """PSNR and SSIM of one uint8 picture under `PROTOCOL`; SSIM is NaN for pictures smaller than its window."""
    small = min(truth.shape[:2]) < 11
    return {'psnr': psnr(prediction, truth), 'ssim': float('nan') if small else ssim(prediction, truth)}


def mean_metrics(images: Sequence[dict[str, float]]) -> dict[str, float]:
    """The mean over images of each metric (of PSNR in dB: not the PSNR of the mean error)."""
    return {name: float(np.mean([image[name] for image in images])) for name in ('psnr', 'ssim')}


def means_by_width(images: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    """`mean_metrics` of the images of each width, px, the widest first; empty if all have the same width."""
    widths = sorted({image['width'] for image in images}, reverse=True)
    if len(widths) == 1:
        return {}
    return {str(width): mean_metrics([image for image in images if image['width'] == width]) for width in widths}
