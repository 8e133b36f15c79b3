"""Losses of one ray: what a model's levels and the colours rendered from them are worth, given the pixel's colour.

`LOSSES` maps the names that a config may weight (`config.losses.NAME = weight`) to functions of
(levels, renderings, target [3]); both lists run from coarse to fine. Add one line to add a loss.
"""

from collections.abc import Callable, Sequence

import jax
import jax.numpy as jnp

from nerf.ray.maths import MACHINE_EPS, exclusive_cumsum
from nerf.ray.structs import Array, Level, Rendering, expect

Loss = Callable[[Sequence[Level], Sequence[Rendering], Array], Array]


def squared_error(rgb: Array, target: Array) -> Array:
    """Mean squared error over the three channels, [3], [3] -> []."""
    expect('one colour', rgb, 3)
    return jnp.mean((rgb - target) ** 2)


def mse(levels: Sequence[Level], renderings: Sequence[Rendering], target: Array) -> Array:
    """Squared error of the last level's colour, []."""
    del levels
    return squared_error(renderings[-1].rgb, target)


def charbonnier(levels: Sequence[Level], renderings: Sequence[Rendering], target: Array) -> Array:
    """Mean over channels of sqrt(e^2 + 0.001^2), e the error of the last level's colour, [] (mip-NeRF 360, equation 16).

    An absolute error that is smooth at 0: outliers, such as what moves between photos, count less than with squares.
    """
    del levels
    expect('one colour', renderings[-1].rgb, 3)
    return jnp.mean(jnp.sqrt((renderings[-1].rgb - target) ** 2 + 0.001**2))


def coarse_mse(levels: Sequence[Level], renderings: Sequence[Rendering], target: Array) -> Array:
    """Sum of the squared errors of all levels but the last, []."""
    del levels
    return sum((squared_error(each.rgb, target) for each in renderings[:-1]), start=jnp.zeros(()))


def upper_bound(s: Array, proposal_s: Array, proposal_weights: Array) -> Array:
    """The most weight that a proposal allows each interval: the sum of its own that touch it, [n+1], [m+1], [m] -> [n]."""
    expect('one row of s', s, None)
    expect('one row of weights', proposal_weights, proposal_s.shape[0] - 1)
    touches = (proposal_s[None, :-1] < s[1:, None]) & (proposal_s[None, 1:] > s[:-1, None])
    return jnp.sum(jnp.where(touches, proposal_weights[None, :], 0.0), axis=1)


def interlevel(levels: Sequence[Level], renderings: Sequence[Rendering], target: Array) -> Array:
    """What the last level sees where a proposal allowed less, [] (mip-NeRF 360, equation 13), summed over the proposals.

    sum_i max(0, w_i - bound_i)^2 / w_i. It teaches the proposals alone: no gradient reaches the last level.
    """
    del renderings, target
    s, w = jax.lax.stop_gradient((levels[-1].s, levels[-1].weights))
    excess = [jnp.maximum(0.0, w - upper_bound(s, each.s, each.weights)) for each in levels[:-1]]
    return sum((jnp.sum(x**2 / (w + MACHINE_EPS)) for x in excess), start=jnp.zeros(()))


def distortion(levels: Sequence[Level], renderings: Sequence[Rendering], target: Array) -> Array:
    """How spread out the weights of the last level are along s, [] (mip-NeRF 360, equation 15).

    sum_ij w_i w_j |m_i - m_j| + 1/3 sum_i w_i^2 (s_{i+1} - s_i), with m_i the middles; as these rise, the double sum is
    2 sum_i w_i sum_{j<i} w_j (m_i - m_j).
    """
    del renderings, target
    s, w = levels[-1].s, levels[-1].weights
    middle = 0.5 * (s[1:] + s[:-1])
    between = 2 * jnp.sum(w * (middle * exclusive_cumsum(w) - exclusive_cumsum(w * middle)))
    return between + jnp.sum(w**2 * (s[1:] - s[:-1])) / 3


LOSSES: dict[str, Loss] = {
    'mse': mse,
    'charbonnier': charbonnier,
    'coarse_mse': coarse_mse,
    'interlevel': interlevel,
    'distortion': distortion,
}
