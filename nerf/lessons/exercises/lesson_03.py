"""Exercises of notebook 03, where to sample."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nerf.lessons.exercise import Exercise, Mistake, call
from nerf.ray.sampling import sample

WEIGHTS = np.array([0.1, 0.0, 0.6, 0.2, 0.1])


def _blurred(padding: float) -> list[float]:
    """Blur and pad by loops, sharing no code with `nerf.ray.histogram`."""
    found = []
    for k in range(len(WEIGHTS)):
        around = [WEIGHTS[min(max(k + step, 0), len(WEIGHTS) - 1)] for step in (-1, 0, 1)]
        found.append((max(around[0], around[1]) + max(around[1], around[2])) / 2 + padding)
    return found


def _histogram(weights: Any) -> np.ndarray:
    """Draw 16 x 2000 samples from weights over [0, 1], and count those in each of as many even intervals."""
    weights = jnp.asarray(weights, jnp.float32)
    posts = jnp.linspace(0.0, 1.0, len(weights) + 1)
    draws = [sample(jax.random.key(seed), posts, weights, 2000) for seed in range(16)]
    return np.histogram(np.concatenate(draws), np.asarray(posts))[0] / 32_000


def _keeps_order(draw: Callable[..., Any]) -> list[bool]:
    """Judge a reader's strata: rising for 200 keys, inside [0, 1], one in each of 8 even strata, and random."""
    draws = np.array([call(draw, jax.random.key(seed), 8) for seed in range(200)])
    strata = np.arange(8) / 8
    return [
        bool((np.diff(draws) >= 0).all()),
        bool((draws >= 0).all() and (draws <= 1).all()),
        bool(((draws >= strata - 1e-6) & (draws <= strata + 1 / 8 + 1e-6)).all()),
        bool(draws.std(axis=0).min() > 0.02),
        bool(np.abs(np.corrcoef(draws.T) - np.eye(8)).max() < 0.4) if draws.std(axis=0).min() > 0 else False,
    ]


def _sides_differ(answer: Any) -> list[bool]:
    """Judge (x, xp, fp): rising, with a step, x at a fencepost, and `>=` and `>` give different values."""
    x, xp, fp = float(answer[0]), np.asarray(answer[1], float), np.asarray(answer[2], float)
    values = []
    for side in ('right', 'left'):
        last = int(np.searchsorted(xp, x, side))
        low, high = max(last - 1, 0), min(last, len(xp) - 1)
        gap = xp[high] - xp[low]
        share = np.clip((x - xp[low]) / gap, 0, 1) if gap > 0 else 0.0
        values.append(fp[low] + share * (fp[high] - fp[low]))
    rises = bool((np.diff(xp) >= 0).all() and (np.diff(fp) >= 0).all())
    return [rises, bool((np.diff(xp) == 0).any()), x in xp, abs(values[0] - values[1]) > 1e-6]


EXERCISES = {
    '03.1': Exercise(
        against='closed form',
        truth=lambda: [0.1, 0.5, 2 / 3],
        because='The CDF passes (0, 0), (0.5, 0.25), (1, 1): its inverse has slope 2 at first, then 2/3.',
        mistakes=(
            Mistake([0.05, 0.25, 0.5], 'you gave u itself: that is right only for equal weights.'),
            Mistake([0.025, 0.125, 0.25], 'you evaluated the CDF itself: asked is its inverse.'),
            Mistake([0.1, 0.5, 1.0], 'you used the slope 2 everywhere: from u = 1/4 on it is 2/3.'),
        ),
    ),
    '03.2': Exercise(
        against='32 000 samples',
        truth=lambda: [0.25, 0.5, 0.125, 0.125],
        because='`sample` draws from the normalised weights; in each run every stratum has one sample, so that the '
        'error is small.',
        mistakes=(
            Mistake([4, 2, 8, 8], 'weights are proportional to how often, not to how seldom an interval is drawn.'),
            Mistake([1, 1, 1, 1], 'these are uniform: give each interval its share.'),
            Mistake([0.25, 0.75, 0.875, 1], 'that is the CDF: weights are its differences.'),
        ),
        read=_histogram,
        atol=0.003,
    ),
    '03.3': Exercise(
        against='brute force (a loop over intervals)',
        truth=lambda: _blurred(0.01),
        because='The envelope is wide enough not to miss a surface at an edge; the padding keeps some samples everywhere.',
        mistakes=(
            Mistake(
                lambda w, padding: 0.5 * (np.r_[w[:1], w[:-1]] + np.r_[w[1:], w[-1:]]) + padding,
                'you averaged the neighbours: first take the larger of each pair of neighbours.',
            ),
            Mistake(
                lambda w, padding: np.maximum(np.maximum(np.r_[w[:1], w[:-1]], w), np.r_[w[1:], w[-1:]]) + padding,
                'you took the largest of three: average the two maxima of pairs.',
            ),
            Mistake(
                lambda w, padding: 0.5 * (np.maximum(np.r_[w[:1], w[:-1]], w) + np.maximum(w, np.r_[w[1:], w[-1:]])),
                'the padding is missing: without it an interval without weight is never sampled again.',
            ),
        ),
        read=lambda blur: call(blur, WEIGHTS, 0.01),
        atol=1e-5,
    ),
    '03.4': Exercise(
        against='200 keys',
        truth=lambda: [True] * 5,
        because='Each sample stays in its own stratum, and strata do not overlap: that is why the order is kept.',
        mistakes=(
            Mistake(
                lambda key, num: jax.random.uniform(key, (num,)),
                'these are uniform over all of [0, 1]: they are not in order, and leave gaps.',
            ),
            Mistake(
                lambda key, num: jnp.sort(jax.random.uniform(key, (num,))),
                'sorted, but a stratum may have none: draw one in each.',
            ),
            Mistake(
                lambda key, num: (jnp.arange(num) + jax.random.uniform(key)) / num,
                'one random number for all strata: they move together, and their distances are always the same.',
            ),
            Mistake(lambda key, num: (jnp.arange(num) + 0.5) / num, 'these are the middles: they are not random.'),
        ),
        read=_keeps_order,
        atol=0.1,
    ),
    '03.5': Exercise(
        against='both sides of the definition',
        truth=lambda: [True] * 4,
        because='Only where xp repeats a value, a step, does it matter on which side of it x counts as being.',
        mistakes=(
            Mistake((0.5, [0, 1], [0, 1]), 'without a step both sides agree, to the last bit.'),
            Mistake((0.5, [0, 0.5, 1], [0, 0.3, 1]), 'at a fencepost both sides agree: the function is continuous there.'),
            Mistake((0.3, [0, 0.5, 0.5, 1], [0, 0.2, 0.8, 1]), 'there is a step, but x is not at it.'),
        ),
        read=_sides_differ,
        atol=0.1,
    ),
}
