"""Weights along a ray as a histogram: rising fenceposts s [n+1], and a weight [n] of each interval between them."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.ray.maths import MACHINE_EPS
from nerf.ray.structs import Scalar, expect


def cdf(weights: Float[Array, 'n']) -> Float[Array, 'n+1']:
    """Compute the cumulative distribution function at the fenceposts, from exactly 0 to exactly 1.

    Weights need not be normalised; where all are zero the distribution is uniform over the intervals.

    Raises:
        ValueError: if given a batch of rays.
    """
    expect('one row of weights', weights, None)
    total = jnp.sum(weights)
    share = jnp.where(total > 0, weights / jnp.where(total > 0, total, 1.0), 1.0 / weights.shape[0])
    inner = jnp.minimum(1.0, jnp.cumsum(share[:-1]))
    return jnp.concatenate([jnp.zeros(1), inner, jnp.ones(1)])


def interpolate(x: Float[Array, 'm'], xp: Float[Array, 'posts'], fp: Float[Array, 'posts']) -> Float[Array, 'm']:
    """Evaluate the piecewise linear function through (xp, fp) at x, for rising xp and fp (steps are allowed).

    Counting the fenceposts before x is faster than a binary search at the lengths that rays have.

    Raises:
        ValueError: if given a batch of rays.
    """
    expect('one row of xp', xp, None)
    last = jnp.sum(x[:, None] >= xp[None, :], axis=1, dtype=jnp.int32)
    low, high = jnp.maximum(last - 1, 0), jnp.minimum(last, xp.shape[0] - 1)
    x0, f0, x1, f1 = xp[low], fp[low], xp[high], fp[high]
    gap = x1 - x0
    share = jnp.where(gap > 0, (x - x0) / jnp.where(gap > 0, gap, 1.0), 0.0)
    return f0 + jnp.clip(share, 0.0, 1.0) * (f1 - f0)


def dilate(
    s: Float[Array, 'posts'], weights: Float[Array, 'posts-1'], reach: Scalar
) -> tuple[Float[Array, '3*posts-4'], Float[Array, '3*posts-5']]:
    """Dilate a histogram: at each place, the highest density within `reach`, as fenceposts in [0, 1] and weights.

    Each interval is made longer by `reach` on both sides, and where several overlap the densest counts: a proposal then
    also covers the surfaces of a neighbouring ray, or of the same ray with other samples (mip-NeRF 360, on dilation in
    its supplement). The weight of an interval of no length is kept. The weights of all 3 n intervals sum to 1. The two
    outermost, which clipping to [0, 1] may have made empty, are left out: 3 n - 2 are left.

    Raises:
        ValueError: if given a batch of rays.
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


def anneal(weights: Float[Array, 'n'], progress: Scalar, slope: Scalar) -> Float[Array, 'n']:
    """Raise weights to a power that grows with progress, w^a: flat when training begins, unchanged when it ends.

    a = slope p / ((slope - 1) p + 1) with the progress p (mip-NeRF 360, the annealing of its supplement): samples are first
    spread, so that a proposal's early errors are corrected. Intervals without weight keep none, at any progress.

    Raises:
        ValueError: if given a batch of rays.
    """
    expect('one row of weights', weights, None)
    power = slope * progress / ((slope - 1) * progress + 1)
    positive = weights > 0
    return jnp.where(positive, jnp.where(positive, weights, 1.0) ** power, 0.0)


def blur_and_pad(weights: Float[Array, 'n'], padding: Scalar) -> Float[Array, 'n']:
    """Smooth weights for resampling: w'_k = (max(w_{k-1}, w_k) + max(w_k, w_{k+1})) / 2 + alpha.

    The two-tap maximum, then two-tap average makes the envelope wide enough not to miss a surface at an interval's
    edge; the padding alpha keeps some samples everywhere (mip-NeRF, section 3.2).

    Raises:
        ValueError: if given a batch of rays.
    """
    expect('one row of weights', weights, None)
    padded = jnp.concatenate([weights[:1], weights, weights[-1:]])
    highest = jnp.maximum(padded[:-1], padded[1:])
    return 0.5 * (highest[:-1] + highest[1:]) + padding


def quantile(q: Scalar, posts: Float[Array, 'posts'], weights: Float[Array, 'posts-1'], beyond: Scalar) -> Float[Array, '']:
    """Find the position at which the accumulated weight reaches q, or return `beyond` if it never does.

    Unlike in `nerf.ray.sampling`, weights here are probabilities that may sum to less than 1; within an interval they
    accumulate evenly.

    Raises:
        ValueError: if given a batch of rays.
    """
    expect('one row of weights', weights, posts.shape[0] - 1)
    accumulated = jnp.concatenate([jnp.zeros(1), jnp.cumsum(weights)])
    inside = interpolate(jnp.full((1,), q), accumulated, posts)[0]
    return jnp.where(accumulated[-1] > q, inside, beyond)
