"""Losses of one ray.

`LOSSES` maps the names that a config may weight (`config.losses.NAME = weight`) to functions of one `RenderedPixel` that
return a number []. To add a loss, write its function in a file of its own and add one line here.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.ray.maths import MACHINE_EPS, exclusive_cumsum
from nerf.ray.structs import RenderedPixel, expect

Loss = Callable[[RenderedPixel], Float[Array, '']]


def squared_error(rgb: Float[Array, '3'], target: Float[Array, '3']) -> Float[Array, '']:
    """Compute the mean squared error over the three channels.

    Raises:
        ValueError: if given a batch of colours.
    """
    expect('one colour', rgb, 3)
    return jnp.mean((rgb - target) ** 2)


def mse(pixel: RenderedPixel) -> Float[Array, '']:
    """Compute the squared error of the last level's colour (NeRF, equation 6).

    Raises:
        ValueError: if given a batch of pixels.
    """
    return squared_error(pixel.renderings[-1].rgb, pixel.target)


def charbonnier(pixel: RenderedPixel) -> Float[Array, '']:
    """Compute the mean over channels of sqrt(e^2 + 0.001^2), e the error of the last level's colour.

    An absolute error that is smooth at 0: outliers, such as what moves between photos, count less than with squares.
    Source: mip-NeRF 360, section 5.

    Raises:
        ValueError: if given a batch of pixels.
    """
    rgb = pixel.renderings[-1].rgb
    expect('one colour', rgb, 3)
    return jnp.mean(jnp.sqrt((rgb - pixel.target) ** 2 + 0.001**2))


def coarse_mse(pixel: RenderedPixel) -> Float[Array, '']:
    """Compute the sum of the squared errors of all levels but the last.

    Raises:
        ValueError: if given a batch of pixels.
    """
    return sum((squared_error(each.rgb, pixel.target) for each in pixel.renderings[:-1]), start=jnp.zeros(()))


def upper_bound(
    s: Float[Array, 'posts'], proposal_s: Float[Array, 'proposal_posts'], proposal_weights: Float[Array, 'proposal_posts-1']
) -> Float[Array, 'posts-1']:
    """Bound the weight of each interval by a proposal's: the sum of the proposal's weights of all intervals that touch it.

    Raises:
        ValueError: if given a batch of rays.
    """
    expect('one row of s', s, None)
    expect('one row of weights', proposal_weights, proposal_s.shape[0] - 1)
    touches = (proposal_s[None, :-1] < s[1:, None]) & (proposal_s[None, 1:] > s[:-1, None])
    return jnp.sum(jnp.where(touches, proposal_weights[None, :], 0.0), axis=1)


def interlevel(pixel: RenderedPixel) -> Float[Array, '']:
    """Penalise weight of the last level beyond each proposal's bound: sum_i max(0, w_i - bound_i)^2 / w_i, over proposals.

    No gradient reaches the last level: a proposal is trained by this bound alone and must follow the scene; the scene
    must never be changed to suit the proposal. Source: mip-NeRF 360, equation 13.
    """
    s, w = jax.lax.stop_gradient((pixel.levels[-1].s, pixel.levels[-1].weights))
    excess = [jnp.maximum(0.0, w - upper_bound(s, each.s, each.weights)) for each in pixel.levels[:-1]]
    return sum((jnp.sum(x**2 / (w + MACHINE_EPS)) for x in excess), start=jnp.zeros(()))


def distortion(pixel: RenderedPixel) -> Float[Array, '']:
    """Compute how spread out the weights of the last level are along s (mip-NeRF 360, equation 15).

    sum_ij w_i w_j |m_i - m_j| + 1/3 sum_i w_i^2 (s_{i+1} - s_i), with m_i the middles; as these rise, the double sum is
    2 sum_i w_i sum_{j<i} w_j (m_i - m_j), which takes n operations in place of n^2.
    """
    s, w = pixel.levels[-1].s, pixel.levels[-1].weights
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
