"""Spacing of positions along a ray: s in [0, 1] <-> t in [near, far].

Each spacing is a pair of functions g and its inverse: t = g^-1((1 - s) g(near) + s g(far)). Even steps of s are even steps of
g(t): of t itself, or of disparity 1 / t, which is even in images and reaches much farther.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.ray.structs import expect

SPACINGS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    'linear': (lambda t: t, lambda g: g),
    'disparity': (lambda t: 1 / t, lambda g: 1 / g),
}


def check_near(near: Float[Array, ''] | float, spacing: str) -> None:
    """Refuse a near plane at which this spacing is undefined; a traced value, which is not known yet, passes.

    Raises:
        ValueError: near <= 0 with disparity spacing, where 1 / near is infinite.
    """
    try:
        value = float(near)
    except jax.errors.ConcretizationTypeError:
        return
    if spacing == 'disparity' and value <= 0:
        raise ValueError(f'near = {value} with disparity spacing: expected near > 0; use linear spacing or set near')


def s_to_t(
    s: Float[Array, 'n'], near: Float[Array, ''] | float, far: Float[Array, ''] | float, spacing: str = 'linear'
) -> Float[Array, 'n']:
    """Convert s to t = g^-1((1 - s) g(near) + s g(far)): s = 0 gives near, s = 1 far (in disparity up to rounding).

    Raises:
        ValueError: if given a batch of rays, or a near that `check_near` refuses.
    """
    expect('one row of s', s, None)
    check_near(near, spacing)
    g, inverse = SPACINGS[spacing]
    t = inverse((1 - s) * g(near) + s * g(far))
    return jnp.clip(t, near, far)


def t_to_s(
    t: Float[Array, 'n'], near: Float[Array, ''] | float, far: Float[Array, ''] | float, spacing: str = 'linear'
) -> Float[Array, 'n']:
    """Convert t to s = (g(t) - g(near)) / (g(far) - g(near)), the inverse of `s_to_t`.

    Raises:
        ValueError: if given a batch of rays.
    """
    expect('one row of t', t, None)
    g, _ = SPACINGS[spacing]
    return jnp.clip((g(t) - g(near)) / (g(far) - g(near)), 0.0, 1.0)
