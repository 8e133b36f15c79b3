"""Contraction of all of space to a ball of radius 2, in which a grid or an MLP can represent an unbounded scene."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.ray.structs import expect


def contract(point: Float[Array, '3']) -> Float[Array, '3']:
    """Contract a point of space into the ball of radius 2: x if |x| <= 1, else (2 - 1 / |x|) x / |x|.

    The unit ball stays as it is. Beyond it the distance to the outer sphere, 1 / |x|, is disparity, which photographs resolve
    evenly (mip-NeRF 360, equation 10). The square is clamped before the root is taken, so that the gradient is finite
    everywhere: at 0 it is the identity.

    Raises:
        ValueError: if given a batch of points.
    """
    expect('one point', point, 3, lift='over_samples')
    square = jnp.maximum(1.0, jnp.sum(point**2))
    return (2 * jnp.sqrt(square) - 1) / square * point


def expand(point: Float[Array, '3']) -> Float[Array, '3']:
    """Invert `contract`: x if |x| <= 1, else x / (|x| (2 - |x|)).

    Points at |x| >= 2, which no point is contracted to, are mapped very far away, but to finite coordinates.

    Raises:
        ValueError: if given a batch of points.
    """
    expect('one point', point, 3, lift='over_samples')
    length = jnp.sqrt(jnp.maximum(1.0, jnp.sum(point**2)))
    return point / (length * jnp.maximum(2 - length, 1e-6))
