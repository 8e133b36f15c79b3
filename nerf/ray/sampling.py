"""Positions of the samples of one ray: stratified, or drawn from a histogram of weights.

No gradient flows into positions. They are the nodes of a quadrature, and the derivative of a node by a weight is about the
width of its interval over its weight, which has no bound.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from nerf.ray.histogram import cdf, interpolate
from nerf.ray.maths import MACHINE_EPS
from nerf.ray.structs import expect


def stratified(key: Key[Array, ''] | None, num: int) -> Float[Array, '{num}']:
    """Draw `num` rising positions in [0, 1], one in each stratum around an even grid.

    With a key each is uniform between the midpoints to its neighbours (NeRF, equation 2); with None they are the grid.
    """
    grid = jnp.linspace(0.0, 1.0, num)
    if key is None:
        return grid
    middle = 0.5 * (grid[1:] + grid[:-1])
    lower = jnp.concatenate([grid[:1], middle])
    upper = jnp.concatenate([middle, grid[-1:]])
    return lower + (upper - lower) * jax.random.uniform(key, (num,))


def sample(
    key: Key[Array, ''] | None, s: Float[Array, 'posts'], weights: Float[Array, 'posts-1'], num: int
) -> Float[Array, '{num}']:
    """Draw `num` rising positions distributed like a histogram, by inverting its CDF.

    u_i is uniform in the i-th of `num` equal strata of [0, 1) (on an even grid if the key is None). Source: the
    hierarchical sampling of NeRF, section 5.2.

    Raises:
        ValueError: if given a batch of rays.
    """
    expect('one row of weights', weights, s.shape[0] - 1)
    if key is None:
        u = jnp.linspace(0.0, 1.0 - MACHINE_EPS, num)
    else:
        u = (jnp.arange(num) + jax.random.uniform(key, (num,), maxval=1.0 - MACHINE_EPS * num)) / num
    return jax.lax.stop_gradient(interpolate(u, cdf(weights), s))


def sample_intervals(
    key: Key[Array, ''] | None, s: Float[Array, 'posts'], weights: Float[Array, 'posts-1'], num: int
) -> Float[Array, '{num}+1']:
    """Draw the fenceposts of `num` intervals in [0, 1] distributed like a histogram (mip-NeRF 360's code).

    Positions are drawn as middles of strata of [0, 1), all moved by ONE random number (None: none), and the intervals
    reach from half way to half way between them; the outermost are as long on either side as room allows.

    Raises:
        ValueError: if given a batch of rays.
    """
    expect('one row of weights', weights, s.shape[0] - 1)
    jitter = 0.5 if key is None else jax.random.uniform(key, (), maxval=1.0 - MACHINE_EPS * num)
    middles = interpolate((jnp.arange(num) + jitter) / num, cdf(weights), s)
    between = 0.5 * (middles[1:] + middles[:-1])
    first = jnp.maximum(0.0, 2 * middles[0] - between[0])
    last = jnp.minimum(1.0, 2 * middles[-1] - between[-1])
    return jax.lax.stop_gradient(jnp.concatenate([first[None], between, last[None]]))
