"""The evaluation of pictures under one named protocol."""

from collections.abc import Sequence

import numpy as np

from nerf.ray.background import BACKGROUNDS
from nerf.render.metrics import METRICS

PROTOCOL = (
    'prediction and truth rounded to 8 bit / 255, composited over the background in sRGB; mean of per-image PSNR; '
    'SSIM: 11-tap Gaussian, sigma 1.5, K 0.01 / 0.03, valid window, mean over channels'
)
MASKED = 'masked_'  # before the name of a metric over the pixels that no mask takes out
MASKED_PROTOCOL = (
    f'{PROTOCOL}; {MASKED}psnr, {MASKED}ssim: over the pixels that no mask takes out, SSIM over windows whose middle is one, '
    'weighting in them only such pixels'
)


def over_background(premultiplied: np.ndarray, background: str) -> np.ndarray:
    """Composite the truth, premultiplied [h, w, 4], over 'white', 'black' or (for 'random') grey, uint8 [h, w, 3]."""
    alpha = premultiplied[..., 3:].astype(np.float64)
    return np.round(np.minimum(premultiplied[..., :3] + BACKGROUNDS[background] * (255 - alpha), 255)).astype(np.uint8)


def compare(prediction: np.ndarray, truth: np.ndarray, used: np.ndarray | None = None) -> dict[str, float]:
    """Compute all metrics of one uint8 picture under `PROTOCOL`, by name.

    With `used`, bool [h, w], also each `masked_` one, over the pixels where it is True, under `MASKED_PROTOCOL`.
    """
    found = {name: float(metric.compute(prediction, truth, None)) for name, metric in METRICS.items()}
    if used is not None:
        found |= {f'{MASKED}{name}': float(metric.compute(prediction, truth, used)) for name, metric in METRICS.items()}
    return found


def mean_metrics(images: Sequence[dict[str, float]]) -> dict[str, float]:
    """Compute the mean over images of each metric (of PSNR in dB: not the PSNR of the mean error), with and without masks."""
    names = [*METRICS, *(f'{MASKED}{name}' for name in METRICS if f'{MASKED}{name}' in images[0])]
    return {name: float(np.mean([image[name] for image in images])) for name in names}


def in_words(means: dict[str, float]) -> str:
    """Write mean metrics for a person: `PSNR 25.31 dB, SSIM 0.912`; with masks, `; without masked pixels PSNR ...` too."""
    words = [_in_words(means, '')]
    if any(name.startswith(MASKED) for name in means):
        words.append(f'without masked pixels {_in_words(means, MASKED)}')
    return '; '.join(words)


def _in_words(means: dict[str, float], prefix: str) -> str:
    words = []
    for name, metric in METRICS.items():
        label, _, unit = metric.label.partition(', ')
        words.append(' '.join(filter(None, [label, f'{means[prefix + name]:.{metric.decimals}f}', unit])))
    return ', '.join(words)


def means_by_width(images: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Compute `mean_metrics` of the images of each width, px, the widest first; empty if all have the same width."""
    widths = sorted({image['width'] for image in images}, reverse=True)
    if len(widths) == 1:
        return {}
    return {str(width): mean_metrics([image for image in images if image['width'] == width]) for width in widths}
