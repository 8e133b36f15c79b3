"""Exercises of notebook 02, from density to one colour."""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from nerf.lessons.exercise import Exercise, Mistake, call

DENSITY, DELTA = np.array([0.4, 3.0, 1.5, 0.2]), np.array([0.5, 0.3, 0.2, 1.0])


def _weights(density: np.ndarray, delta: np.ndarray) -> np.ndarray:
    """Compute w_i = T_i - T_{i+1} by a loop, sharing no code with `nerf.ray.compositing`."""
    arrived, found = 1.0, []
    for sigma, length in zip(density, delta, strict=True):
        left = arrived * math.exp(-sigma * length)
        found.append(arrived - left)
        arrived = left
    return np.array(found)


def _weights_after_cut(cut: Callable[..., Any]) -> np.ndarray:
    """Cut the second interval at 1/4 with a reader's function; the weights, with those of the two parts added up."""
    density, delta = call(cut, DENSITY, DELTA)
    if len(density) != 5:
        raise ValueError(f'expected 5 densities and 5 lengths, found {len(density)}')
    w = _weights(density, delta)
    return np.array([w[0], w[1] + w[2], w[3], w[4]])


def _cut(density_share: float, first: float, second: float) -> Callable[..., Any]:
    """Make an answer to 02.3: both parts have this share of the density, and these shares of the length."""
    return lambda density, delta: (
        [density[0], density[1] * density_share, density[1] * density_share, *density[2:]],
        [delta[0], delta[1] * first, delta[1] * second, *delta[2:]],
    )


EXERCISES = {
    '02.1': Exercise(
        against='closed form',
        truth=lambda: [1 - math.exp(-1), 0, math.exp(-1) * (1 - math.exp(-2))],
        because='The three sum to 0.950; the rest, exp(-3), passes all of them and shows the background.',
        mistakes=(
            Mistake(
                [math.exp(-1) * (1 - math.exp(-1)), 0, math.exp(-3) * (1 - math.exp(-2))],
                'you have T_1 = exp(-sigma_1 delta_1): that is the inclusive sum. T_i holds what lies BEFORE interval i.',
            ),
            Mistake(
                [1 - math.exp(-1), 0, 1 - math.exp(-2)], 'these are alphas: multiply each by the probability T_i to arrive.'
            ),
            Mistake([1, 0, 2], 'these are optical depths sigma delta, not probabilities.'),
            Mistake([1, 0, 2 * math.exp(-1)], 'you have T_i sigma_i delta_i: right only where sigma delta is small.'),
        ),
    ),
    '02.2': Exercise(
        against='closed form',
        truth=lambda: 1 - math.exp(-2 * 0.5 / math.cos(math.radians(30))),
        because='The ray is longer inside a tilted slab, which is what the factor |d| of delta is for.',
        mistakes=(
            Mistake(1 - math.exp(-1), 'you took the thickness: a ray at 30 degrees is inside for 0.5 / cos 30.'),
            Mistake(
                1 - math.exp(-math.cos(math.radians(30))), 'you multiplied by cos 30: a tilted path is longer, not shorter.'
            ),
            Mistake(1 - math.exp(-2), 'you divided by sin 30: the angle is measured from the normal of the slab.'),
            Mistake(1 - math.exp(-1 / math.cos(30)), 'you gave cos 30 radians: convert the degrees.'),
            Mistake(math.exp(-1 / math.cos(math.radians(30))), 'that is the transmittance: the opacity is 1 minus it.'),
        ),
    ),
    '02.3': Exercise(
        against='brute force (a loop over intervals)',
        truth=lambda: _weights(DENSITY, DELTA),
        because='(1 - e^-a) + e^-a (1 - e^-b) = 1 - e^-(a+b): a quadrature that is exact for a constant density can '
        'be cut anywhere.',
        mistakes=(
            Mistake(_cut(0.5, 0.25, 0.75), 'you divided the density as well: it is per length, so both parts keep it.'),
            Mistake(_cut(1, 1, 1), 'both parts have the whole length: together they must be as long as the interval was.'),
        ),
        read=_weights_after_cut,
        atol=1e-5,
    ),
    '02.4': Exercise(
        against='closed form',
        truth=lambda: [2.125, math.exp(-2.125)],
        because='Optical depths add up, in any order; transmittances multiply.',
        mistakes=(
            Mistake([1.7, math.exp(-1.7)], 'you left out |d| = 1.25: the lengths are in t, and density is per world length.'),
            Mistake([2.125, 1 - math.exp(-2.125)], 'the second is the opacity; asked is what passes, exp(-tau).'),
            Mistake(
                [1.36, math.exp(-1.36)], 'you divided by |d| = 1.25: a step of 1 in t is 1.25 long in the world, so multiply.'
            ),
            Mistake(
                [2.6 * 3.5 * 1.25, math.exp(-2.6 * 3.5 * 1.25)], 'you multiplied the sums: multiply in each layer, then add.'
            ),
        ),
    ),
    '02.5': Exercise(
        against='brute force (a loop over intervals)',
        truth=lambda: np.sum(_weights(DENSITY, DELTA)),
        because='The sum telescopes: w_i = T_i - T_{i+1}, so it is T_1 - T_{n+1} = 1 - exp(-sum of all sigma delta).',
        mistakes=(
            Mistake(
                lambda density, delta: 1 - math.exp(-np.sum(density[:-1] * delta[:-1])),
                'you left out the last interval: T_n is the transmittance BEFORE it, T_{n+1} that after it.',
            ),
            Mistake(
                lambda density, delta: np.sum(1 - np.exp(-density * delta)),
                'you added the alphas: that counts light twice, and may exceed 1.',
            ),
            Mistake(
                lambda density, delta: math.exp(-np.sum(density * delta)), 'that is what passes: the opacity is 1 minus it.'
            ),
            Mistake(
                lambda density, delta: np.sum(density * delta),
                'that is the optical depth: it has no upper limit, an opacity has.',
            ),
        ),
        read=lambda opacity: call(opacity, DENSITY, DELTA),
        atol=1e-5,
    ),
    '02.6': Exercise(
        against='closed form',
        truth=lambda: math.log(2) / 15,
        because='The surface that the median finds lies ln 2 / sigma too far back; it meets the wall only where '
        'sigma is infinite.',
        mistakes=(
            Mistake(1 / 15, 'that is the mean free path; half of the light has stopped a little earlier, at ln 2 / sigma.'),
            Mistake(0.5 / 15, 'density is no opacity: solve exp(-sigma s) = 1/2, not sigma s = 1/2.'),
            Mistake(15 * math.log(2), 'you multiplied by sigma: a denser wall stops light sooner.'),
            Mistake(math.log10(2) / 15, 'you used the logarithm to base 10: exp belongs to the natural one.'),
        ),
        atol=5e-4,
    ),
}
