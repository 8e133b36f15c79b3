"""Exercises of notebook 05, a pixel is not a point: mip-NeRF."""

import math
from typing import Any

import jax.numpy as jnp
import numpy as np

from nerf.lessons.exercise import Exercise, Mistake
from nerf.ray.encodings import integrated, integrated_off_axis
from nerf.ray.structs import Gaussian


def _differences(pair: Any) -> list[bool]:
    """Judge two covariances: both valid, no difference for `integrated`, one for `integrated_off_axis`."""
    a, b = (np.asarray(cov, np.float64) for cov in pair)
    if a.shape != (3, 3) or b.shape != (3, 3):
        raise ValueError(f'expected two covariances [3, 3], found shapes {a.shape} and {b.shape}')
    valid = all(np.allclose(c, c.T) and np.linalg.eigvalsh((c + c.T) / 2).min() > -1e-9 for c in (a, b))
    gaussians = [Gaussian(jnp.array([0.3, -0.2, 0.5]), jnp.asarray(c, jnp.float32)) for c in (a, b)]
    on, off = (
        float(jnp.abs(encode(gaussians[0], 0, 4) - encode(gaussians[1], 0, 4)).max())
        for encode in (integrated, integrated_off_axis)
    )
    return [valid, on < 1e-6, off > 1e-3]


def _tilted(across: float) -> np.ndarray:
    return np.array([[0.1, across, 0], [across, 0.1, 0], [0, 0, 0.1]])


EXERCISES = {
    '05.1': Exercise(
        against='closed form',
        truth=lambda: 2 * 0.004 / math.sqrt(12),
        because='The disc has the variance of the square: r^2 / 4 = p^2 / 12. Its area is pi/3 of the pixel, 4.7 % more.',
        mistakes=(
            Mistake(0.004 / math.sqrt(12), 'that is the standard deviation of the square; a disc of radius r has r / 2.'),
            Mistake(0.002, 'half the width is the largest disc in the pixel: its variance is too small.'),
            Mistake(0.004 / math.sqrt(math.pi), 'that is the disc of equal area; asked is the one of equal variance.'),
            Mistake(0.004 / math.sqrt(2), 'that is the disc through the corners of the pixel: its variance is too large.'),
        ),
        atol=1e-6,
    ),
    '05.2': Exercise(
        against='quadrature, by a closed form',
        truth=lambda: 3 * (3**4 - 1) / (4 * (3**3 - 1)),
        because='The mean lies behind the middle, as a cone is wider there: by 0.31 of an interval of length 2.',
        mistakes=(
            Mistake(2.0, 'that is the middle: the cone is wider at its far end, which therefore counts more.'),
            Mistake(2 / 3 * (27 - 1) / (9 - 1), 'you weighted by t: the cross-section of a cone is an area, it grows as t^2.'),
            Mistake((81 - 1) / 4, 'you have the integral of t^3: divide it by that of t^2.'),
        ),
    ),
    '05.3': Exercise(
        against='closed form, confirmed by the sampling of the solution',
        truth=lambda: math.sin(1.2) * math.exp(-0.5 * 16 * 0.04),
        because='A sine averaged over a normal distribution keeps its phase, and fades by exp(-k^2 s^2 / 2).',
        mistakes=(
            Mistake(math.sin(1.2), 'that is the sine of the mean: the mean of the sine is smaller.'),
            Mistake(
                math.sin(1.2) * math.exp(-0.5 * 4 * 0.04),
                'you faded by 2^l: the exponent has the SQUARE of the frequency, 4^l.',
            ),
            Mistake(
                math.sin(1.2) * math.exp(-0.5 * 16 * 0.2), 'you used the standard deviation: the exponent has the variance.'
            ),
            Mistake(math.sin(1.2) * math.exp(-16 * 0.04), 'the factor 1/2 in the exponent is missing.'),
        ),
    ),
    '05.4': Exercise(
        against='closed form',
        truth=lambda: math.ceil(math.log2(2 * math.log(100) / 0.05**2) / 2),
        because='So octaves from 6 on carry nothing about this segment: their period, 2 pi / 64, is about two '
        'standard deviations.',
        mistakes=(
            Mistake(12, 'you solved with 2^l: the exponent has 4^l.'),
            Mistake(5, 'octave 5 still has 28 % of its amplitude: round up.'),
            Mistake(4, 'you have the standard deviation in place of the variance: s^2 is 0.0025.'),
            Mistake(math.log2(2 * math.log(100) / 0.05**2) / 2, 'octaves have whole numbers: take the first one beyond this.'),
        ),
    ),
    '05.5': Exercise(
        against='the two encodings themselves',
        truth=lambda: [True, True, True],
        because='IPE along the axes sees only the diagonal of Sigma; 21 directions also see the rest.',
        mistakes=(
            Mistake((_tilted(0), _tilted(0)), 'these are the same Gaussian: no encoding can tell them apart.'),
            Mistake((_tilted(0.05), 2 * _tilted(0.05)), 'their diagonals differ: `integrated` tells them apart already.'),
            Mistake(
                (_tilted(0.2), _tilted(-0.2)),
                'these are no covariances: a variance is negative in some direction, or not symmetric.',
            ),
        ),
        read=_differences,
    ),
}
