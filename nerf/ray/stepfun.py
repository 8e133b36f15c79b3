"""One step function on a line: fenceposts s [n+1] in rising order, a weight [n] for each interval between them."""

import jax
import jax.numpy as jnp

from nerf.ray.maths import MACHINE_EPS
from nerf.ray.structs import Array, expect


def stratified(key: Array | None, num: int) -> Array:
    """`num` rising positions in [0, 1], one in each stratum around an even grid, [num].

    With a key each is uniform between the midpoints to its neighbours (NeRF, equation 2); with None they are the grid.
    """
    grid = jnp.linspace(0.0, 1.0, num)
    if key is None:
        return grid
    middle = 0.5 * (grid[1:] + grid[:-1])
    lower = jnp.concatenate([grid[:1], middle])
    upper = jnp.concatenate([middle, grid[-1:]])
    return lower + (upper - lower) * jax.random.uniform(key, (num,))


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


def sample(key: Array | None, s: Array, weights: Array, num: int) -> Array:
    """`num` rising positions distributed like the step function, by inverting its CDF, [num].

    u_i is uniform in the i-th of `num` equal strata of [0, 1) (on an even grid if the key is None). No gradient
    flows into the positions. Inverse transform sampling of NeRF, section 5.2.
    """
    expect('one row of weights', weights, s.shape[0] - 1)
    if key is None:
        u = jnp.linspace(0.0, 1.0 - MACHINE_EPS, num)
    else:
        u = (jnp.arange(num) + jax.random.uniform(key, (num,), maxval=1.0 - MACHINE_EPS * num)) / num
    return jax.lax.stop_gradient(interpolate(u, cdf(weights), s))


def sample_intervals(key: Array | None, s: Array, weights: Array, num: int) -> Array:
    """Fenceposts of `num` intervals distributed like the step function, in [0, 1], [num + 1] (mip-NeRF 360's code).

    Positions are drawn as middles of strata of [0, 1), all moved by ONE random number (None: none), and the intervals
    reach from half way to half way between them; the outermost are as long on either side as room allows.
    """
    expect('one row of weights', weights, s.shape[0] - 1)
    jitter = 0.5 if key is None else jax.random.uniform(key, (), maxval=1.0 - MACHINE_EPS * num)
    middles = interpolate((jnp.arange(num) + jitter) / num, cdf(weights), s)
    between = 0.5 * (middles[1:] + middles[:-1])
    first = jnp.maximum(0.0, 2 * middles[0] - between[0])
    last = jnp.minimum(1.0, 2 * middles[-1] - between[-1])
    return jax.lax.stop_gradient(jnp.concatenate([first[None], between, last[None]]))


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
