"""Weights along a ray as a histogram: rising fenceposts s [n+1], and a weight [n] of each interval between them."""

import jax.numpy as jnp

from nerf.ray.maths import MACHINE_EPS
from nerf.ray.structs import Array, expect


def cdf(weights: Array) -> Array:
    """The distribution function at the fenceposts, [n] -> [n+1], from exactly 0 to exactly 1.

    Weights need not be normalised; where all are zero the distribution is uniform over the intervals.
    """
    expect('one row of weights', weights, None)
    total = jnp.sum(weights)
    share = jnp.where(total > 0, weights / jnp.where(total > 0, total, 1.0), 1.0 / weights.shape[0])
    inner = jnp.minimum(1.0, jnp.cumsum(share[:-1]))
    return jnp.concatenate([jnp.zeros(1), inner, jnp.ones(1)])


def interpolate(x: Array, xp: Array, fp: Array) -> Array:
    """The piecewise linear function through (xp, fp) [n+1] at x [m], for rising xp and fp (steps are allowed), [m].

    Counting the fenceposts before x is faster than a binary search at the lengths that rays have.
    """
    expect('one row of xp', xp, None)
    last = jnp.sum(x[:, None] >= xp[None, :], axis=1, dtype=jnp.int32)
    low, high = jnp.maximum(last - 1, 0), jnp.minimum(last, xp.shape[0] - 1)
    x0, f0, x1, f1 = xp[low], fp[low], xp[high], fp[high]
    gap = x1 - x0
    share = jnp.where(gap > 0, (x - x0) / jnp.where(gap > 0, gap, 1.0), 0.0)
    return f0 + jnp.clip(share, 0.0, 1.0) * (f1 - f0)


def dilate(s: Array, weights: Array, reach: float) -> tuple[Array, Array]:
    """The step function of the highest density within `reach`, fenceposts [m+1] in [0, 1], weights [m].

    Each interval is made longer by `reach` on both sides, and where several overlap the densest counts: a proposal then
    also covers what a neighbouring ray, or the same ray with other samples, would have seen (mip-NeRF 360, section 3 of
    the supplement). What lies in an interval of no length is not lost. The weights of all 3 n intervals sum to 1; the two
    outermost are left out, so that m = 3 n - 2.
    """
    expect('one row of weights', weights, s.shape[0] - 1)
    width = s[1:] - s[:-1]
    density = weights / jnp.maximum(width, MACHINE_EPS**2)
    lower, upper = s[:-1] - reach, s[1:] + reach
    posts = jnp.clip(jnp.sort(jnp.concatenate([s, lower, upper])), 0.0, 1.0)
    covers = (lower[None, :] <= posts[:-1, None]) & (upper[None, :] > posts[:-1, None])
    highest = jnp.max(jnp.where(covers, density[None, :], 0.0), axis=1)
    spread = highest * (posts[1:] - posts[:-1])
    return posts[1:-1], (spread / jnp.maximum(jnp.sum(spread), MACHINE_EPS))[1:-1]


def anneal(weights: Array, progress: Array | float, slope: float) -> Array:
    """Weights w^a, [n] -> [n], that are flat when training begins and as they are when it ends.

    a = slope p / ((slope - 1) p + 1) with the progress p (mip-NeRF 360, equation 20): samples are first spread, so that a
    proposal which errs early is found out. What has no weight gets none, at any progress.
    """
    expect('one row of weights', weights, None)
    power = slope * progress / ((slope - 1) * progress + 1)
    positive = weights > 0
    return jnp.where(positive, jnp.where(positive, weights, 1.0) ** power, 0.0)


def blur_and_pad(weights: Array, padding: float) -> Array:
    """mip-NeRF's smoothed weights for resampling, w'_k = (max(w_{k-1}, w_k) + max(w_k, w_{k+1})) / 2 + alpha, [n] -> [n].

    The two-tap maximum, then two-tap average makes the envelope wide enough not to miss a surface at an interval's
    edge; the padding alpha keeps some samples everywhere (mip-NeRF, section 3.1).
    """
    expect('one row of weights', weights, None)
    padded = jnp.concatenate([weights[:1], weights, weights[-1:]])
    highest = jnp.maximum(padded[:-1], padded[1:])
    return 0.5 * (highest[:-1] + highest[1:]) + padding


def quantile(q: float, posts: Array, weights: Array, beyond: Array) -> Array:
    """Where the accumulated weight reaches q, [], or `beyond` if it never does.

    Unlike `sample`, weights [n] here are probabilities that may sum to less than 1; within an interval (posts [n+1])
    they accumulate evenly.
    """
    expect('one row of weights', weights, posts.shape[0] - 1)
    accumulated = jnp.concatenate([jnp.zeros(1), jnp.cumsum(weights)])
    inside = interpolate(jnp.full((1,), q), accumulated, posts)[0]
    return jnp.where(accumulated[-1] > q, inside, beyond)
