"""The evaluation of pictures under one named protocol."""

from collections.abc import Sequence

import numpy as np

from nerf.ray.background import BACKGROUNDS
from nerf.render.metrics import METRICS

PROTOCOL = (
    'prediction and truth rounded to 8 bit / 255, composited over the background in sRGB; mean of per-image PSNR; '
    'SSIM: 11-tap Gaussian, sigma 1.5, K 0.01 / 0.03, valid window, mean over channels'
)


def over_background(premultiplied: np.ndarray, background: str) -> np.ndarray:
    """Composite the truth, premultiplied [h, w, 4], over 'white', 'black' or (for 'random') grey, uint8 [h, w, 3]."""
    alpha = premultiplied[..., 3:].astype(np.float64)
    return np.round(np.minimum(premultiplied[..., :3] + BACKGROUNDS[background] * (255 - alpha), 255)).astype(np.uint8)


def compare(prediction: np.ndarray, truth: np.ndarray) -> dict[str, float]:
    """Compute all metrics of one uint8 picture under `PROTOCOL`, by name."""
    return {name: float(metric.compute(prediction, truth)) for name, metric in METRICS.items()}


def mean_metrics(images: Sequence[dict[str, float]]) -> dict[str, float]:
    """Compute the mean over images of each metric (of PSNR in dB: not the PSNR of the mean error)."""
    return {name: float(np.mean([image[name] for image in images])) for name in METRICS}


def in_words(means: dict[str, float]) -> str:
    """Write mean metrics for a person: `PSNR 25.31 dB, SSIM 0.9123`."""
    words = []
    for name, metric in METRICS.items():
        label, _, unit = metric.label.partition(', ')
        words.append(' '.join(filter(None, [label, f'{means[name]:.{metric.decimals}f}', unit])))
    return ', '.join(words)


def means_by_width(images: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Compute `mean_metrics` of the images of each width, px, the widest first; empty if all have the same width."""
    widths = sorted({image['width'] for image in images}, reverse=True)
    if len(widths) == 1:
        return {}
    return {str(width): mean_metrics([image for image in images if image['width'] == width]) for width in widths}
