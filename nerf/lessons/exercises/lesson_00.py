"""Exercises of notebook 00, one ray."""

import math

from nerf.lessons.exercise import Exercise, Mistake

EXERCISES = {
    '00.1': Exercise(
        against='closed form',
        truth=lambda: 0.2 * 1.0 + 0.5 * 0.4 + (1 - 0.7) * 0.8,
        because='The background counts by the probability 1 - 0.2 - 0.5 that the ray stops nowhere.',
        mistakes=(
            Mistake(0.4, 'you left out the background: the ray stops nowhere with probability 0.3, and then shows it.'),
            Mistake(0.4 / 0.7, 'you divided by the sum of the weights: they need not sum to 1, the rest shows the background.'),
            Mistake(1.2, 'you added the whole background: it counts by 1 minus the sum of the weights.'),
        ),
    ),
    '00.2': Exercise(
        against='closed form',
        truth=lambda: 2 * math.sqrt(0.3**2 + 0.4**2 + 1),
        because='t is depth along the optical axis; a distance is t |d|, and only the pixel on the axis has |d| = 1.',
        mistakes=(
            Mistake(2.0, 'you gave t: d has length sqrt(1.25), not 1, so that the distance is t |d|.'),
            Mistake(2 * 0.5, 'you left out the third component of d, which is -1.'),
            Mistake(2 / math.sqrt(1.25), 'you divided by |d|: that turns a distance into t; here you know t.'),
            Mistake(2 * 1.25, 'you multiplied by |d|^2: take the square root.'),
        ),
    ),
    '00.3': Exercise(
        against='closed form',
        truth=lambda: 20 * math.log10(2),
        because='The squared error falls to a quarter: 10 log10(4) = 6.02 dB.',
        mistakes=(
            Mistake(10 * math.log10(2), 'you took the error itself: PSNR is 10 log10 of the inverse of the SQUARED error.'),
            Mistake(20 * math.log(2), 'you used the natural logarithm: decibels use the one to base 10.'),
            Mistake(-20 * math.log10(2), 'the sign: a smaller error is a higher PSNR.'),
            Mistake(2.0, 'PSNR is logarithmic: half the error adds a constant number of dB, it does not double them.'),
        ),
        atol=0.02,
    ),
    '00.4': Exercise(
        against='closed form',
        truth=lambda: 3.3825 + math.log(2) / 10,
        because='That is why the median distance of a learned surface is a little too large: 3.452 here.',
        mistakes=(
            Mistake(
                3.3825 + 0.1,
                'that is the mean distance, 1 / sigma behind the surface; half has stopped ln 2 / sigma behind it.',
            ),
            Mistake(3.3825 + 0.05, 'density is no opacity: T falls as exp(-sigma s), and is 1/2 where sigma s = ln 2.'),
            Mistake(3.3825, 'that is the surface itself; with a finite density light enters it a little.'),
        ),
        atol=2e-3,
    ),
}
