"""Weights along a ray as a histogram: rising fenceposts s, and a weight of each interval between them."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.ray.maths import MACHINE_EPS
from nerf.ray.structs import expect


def cdf(weights: Float[Array, 'n']) -> Float[Array, 'n+1']:
    """Compute the cumulative distribution at the fenceposts, c_k = sum_{i<k} w_i / sum_i w_i, from exactly 0 to exactly 1.

    Weights need not be normalised; if all are zero the distribution is uniform over the intervals.

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

    The fenceposts before x are counted, which is faster than a binary search at the lengths that rays have.

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
    s: Float[Array, 'posts'], weights: Float[Array, 'posts-1'], reach: Float[Array, ''] | float
) -> tuple[Float[Array, '3*posts-4'], Float[Array, '3*posts-5']]:
    """Dilate a histogram: at each position take the highest density, w_i / (s_{i+1} - s_i), found within `reach`.

    A proposal's weights are exact for this ray's samples only; dilated, they also cover what neighbouring rays, or this ray
    with other samples, may hit. Returns fenceposts and weights. Density in an interval of no length is not lost. The weights
    of all 3 n intervals sum to 1; the outermost two are left out, which leaves 3 n - 2. Source: mip-NeRF 360, the
    supplement's part on dilation.

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


def anneal(weights: Float[Array, 'n'], progress: Float[Array, ''] | float, slope: float) -> Float[Array, 'n']:
    """Anneal weights, w^a with a = slope p / ((slope - 1) p + 1): flat at progress p = 0, unchanged at p = 1.

    Early in training samples are so spread along the ray, and a proposal that is wrong there is corrected. Weights of exactly
    0 stay 0 at any progress. Source: mip-NeRF 360, the part on annealing.

    Raises:
        ValueError: if given a batch of rays.
    """
    expect('one row of weights', weights, None)
    power = slope * progress / ((slope - 1) * progress + 1)
    positive = weights > 0
    return jnp.where(positive, jnp.where(positive, weights, 1.0) ** power, 0.0)


def blur_and_pad(weights: Float[Array, 'n'], padding: float) -> Float[Array, 'n']:
    """Smooth weights for resampling, w'_k = (max(w_{k-1}, w_k) + max(w_k, w_{k+1})) / 2 + alpha, with `padding` alpha.

    The two-tap maximum, then two-tap average widens the histogram so that a surface at an interval's edge is not missed; the
    padding keeps some samples everywhere. Source: mip-NeRF, section 3.2.

    Raises:
        ValueError: if given a batch of rays.
    """
    expect('one row of weights', weights, None)
    padded = jnp.concatenate([weights[:1], weights, weights[-1:]])
    highest = jnp.maximum(padded[:-1], padded[1:])
    return 0.5 * (highest[:-1] + highest[1:]) + padding


def quantile(
    q: Float[Array, ''] | float,
    posts: Float[Array, 'posts'],
    weights: Float[Array, 'posts-1'],
    beyond: Float[Array, ''] | float,
) -> Float[Array, '']:
    """Find the position by which the accumulated weight reaches q; `beyond` if it never does.

    Weights here are probabilities, which may sum to less than 1, and are not normalised; within an interval they accumulate
    evenly.

    Raises:
        ValueError: if given a batch of rays.
    """
    expect('one row of weights', weights, posts.shape[0] - 1)
    accumulated = jnp.concatenate([jnp.zeros(1), jnp.cumsum(weights)])
    inside = interpolate(jnp.full((1,), q), accumulated, posts)[0]
    return jnp.where(accumulated[-1] > q, inside, beyond)
