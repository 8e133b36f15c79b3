"""All of space in a ball of radius 2, so that what is far can be learned by a grid or an MLP (mip-NeRF 360)."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.ray.structs import expect


def contract(point: Float[Array, '3']) -> Float[Array, '3']:
    """Contract a point: x where |x| <= 1, else (2 - 1 / |x|) x / |x| (mip-NeRF 360, equation 10).

    The square is clamped before the root is taken, so that the gradient is finite everywhere: at 0 it is the identity.

    Raises:
        ValueError: if given a batch of points.
    """
    expect('one point', point, 3, lift='over_samples')
    square = jnp.maximum(1.0, jnp.sum(point**2))
    return (2 * jnp.sqrt(square) - 1) / square * point


def expand(point: Float[Array, '3']) -> Float[Array, '3']:
    """Invert `contract`: x where |x| <= 1, else x / (|x| (2 - |x|)); points with |x| >= 2 go very far.

    Raises:
        ValueError: if given a batch of points.
    """
    expect('one point', point, 3, lift='over_samples')
    length = jnp.sqrt(jnp.maximum(1.0, jnp.sum(point**2)))
    return point / (length * jnp.maximum(2 - length, 1e-6))
