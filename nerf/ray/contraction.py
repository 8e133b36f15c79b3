"""All of space in a ball of radius 2, so that what is far can be learned by a grid or an MLP (mip-NeRF 360, section 2)."""

import jax.numpy as jnp

from nerf.ray.structs import Array, expect


def contract(point: Array) -> Array:
    """x where |x| <= 1, else (2 - 1 / |x|) x / |x|, [3] -> [3] (mip-NeRF 360, equation 10).

    The square is clamped before the root is taken, so that the gradient is finite everywhere: at 0 it is the identity.
    """
    expect('one point', point, 3, lift='over_samples')
    square = jnp.maximum(1.0, jnp.sum(point**2))
    return (2 * jnp.sqrt(square) - 1) / square * point


def expand(point: Array) -> Array:
    """The inverse of `contract`, [3] -> [3]: x where |x| <= 1, else x / (|x| (2 - |x|)); what lies beyond 2 goes very far."""
    expect('one point', point, 3, lift='over_samples')
    length = jnp.sqrt(jnp.maximum(1.0, jnp.sum(point**2)))
    return point / (length * jnp.maximum(2 - length, 1e-6))
