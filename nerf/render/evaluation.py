"""The evaluation of pictures under one named protocol."""

from collections.abc import Iterable, Sequence

import numpy as np

from nerf.errors import unknown
from nerf.ray.background import BACKGROUNDS
from nerf.render.metrics import METRICS

# How pictures are made numbers that metrics compare, whichever metrics these are.
PICTURES = 'prediction and truth rounded to 8 bit / 255, composited over the background in sRGB'
MASKED = 'masked_'  # before the name of a metric over the pixels that no mask takes out
MASKED_PROTOCOL = (
    f'{MASKED}psnr, {MASKED}ssim: over the pixels that no mask takes out, SSIM over windows whose middle is one, weighting in '
    'them only such pixels'
)
NUM_WORST = 5


def protocol(names: Iterable[str]) -> str:
    """Say in a line how these metrics are measured."""
    names = set(names)
    masked = [MASKED_PROTOCOL] if any(name.startswith(MASKED) for name in names) else []
    return '; '.join([PICTURES, *(METRICS[name].protocol for name in METRICS if name in names), *masked])


def over_background(premultiplied: np.ndarray, background: str) -> np.ndarray:
    """Composite the truth, premultiplied [h, w, 4], over 'white', 'black' or (for 'random') grey, uint8 [h, w, 3]."""
    alpha = premultiplied[..., 3:].astype(np.float64)
    return np.round(np.minimum(premultiplied[..., :3] + BACKGROUNDS[background] * (255 - alpha), 255)).astype(np.uint8)


def installed() -> list[str]:
    """Return the names of the metrics of which all that they need is installed."""
    return [name for name, metric in METRICS.items() if metric.is_installed()]


def quick() -> list[str]:
    """Return the names of the installed metrics that a validation view of a training is measured with."""
    return [name for name in installed() if METRICS[name].is_quick]


def compare(
    prediction: np.ndarray, truth: np.ndarray, names: Iterable[str] | None = None, used: np.ndarray | None = None
) -> dict[str, float]:
    """Compute metrics of one uint8 picture, by name; without those that pictures of its size have not.

    Args:
        names: of the metrics; None: all that are `installed`.
        used: bool [h, w]; if given, metrics that can are also computed over the pixels where it is True, as `masked_psnr`.

    Raises:
        UserError: an unknown metric, or one that is not installed, was named.
    """
    scores = {}
    for name in installed() if names is None else names:
        if name not in METRICS:
            raise unknown('metric', name, METRICS)
        if not METRICS[name].lacks(*truth.shape[:2]):
            scores[name] = float(METRICS[name].compute(prediction, truth))
    for name in [name for name in scores if used is not None and METRICS[name].takes_mask]:
        score = float(METRICS[name].compute(prediction, truth, used))
        if np.isfinite(score):
            scores[f'{MASKED}{name}'] = score
    return scores


def left_out(sizes: Sequence[tuple[int, int]], names: Iterable[str]) -> dict[str, str]:
    """Say which of these metrics pictures of these sizes, (height, width), lack: `10 of 40 images: smaller than 11 px`."""
    found = {}
    for name in names:
        reasons = [reason for size in sizes if (reason := METRICS[name].lacks(*size))]
        if reasons:
            found[name] = f'{len(reasons)} of {len(sizes)} images: {", ".join(dict.fromkeys(reasons))}'
    return found


def mean_metrics(images: Sequence[dict[str, float]]) -> dict[str, float]:
    """Compute the mean of each metric over the images that have it (of PSNR in dB: not the PSNR of the mean error)."""
    names = [*METRICS, *(f'{MASKED}{name}' for name in METRICS)]
    values = {name: [image[name] for image in images if name in image] for name in names}
    return {name: float(np.mean(each)) for name, each in values.items() if each}


def worst(images: Sequence[dict[str, float]], count: int = NUM_WORST) -> list[dict[str, float]]:
    """Return the images of the lowest PSNR, the worst first."""
    return sorted(images, key=lambda image: image['psnr'])[:count]


def in_words(means: dict[str, float]) -> str:
    """Write mean metrics for a person: `PSNR 25.31 dB, SSIM 0.912`; with masks, `; without masked pixels PSNR ...` too."""
    words = [_in_words(means, '')]
    if any(name.startswith(MASKED) for name in means):
        words.append(f'without masked pixels {_in_words(means, MASKED)}')
    return '; '.join(words)


def _in_words(means: dict[str, float], prefix: str) -> str:
    words = []
    for name, metric in METRICS.items():
        if prefix + name in means:
            label, _, unit = metric.label.partition(', ')
            words.append(' '.join(filter(None, [label, f'{means[prefix + name]:.{metric.decimals}f}', unit])))
    return ', '.join(words)


def means_by_width(images: Sequence[dict[str, float]]) -> dict[str, dict[str, float]]:
    """Compute `mean_metrics` of the images of each width, px, the widest first; empty if all have the same width."""
    widths = sorted({image['width'] for image in images}, reverse=True)
    if len(widths) == 1:
        return {}
    return {str(width): mean_metrics([image for image in images if image['width'] == width]) for width in widths}
