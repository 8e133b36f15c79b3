"""The spacing of positions on a ray: s in [0, 1] <-> t in [near, far].

Each spacing is a pair of functions g and its inverse: t = g^-1((1 - s) g(near) + s g(far)).
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.ray.structs import Scalar, expect

SPACINGS: dict[str, tuple[Callable[[Array], Array], Callable[[Array], Array]]] = {
    'linear': (lambda t: t, lambda g: g),
    'disparity': (lambda t: 1 / t, lambda g: 1 / g),
}


def check_near(near: Scalar, spacing: str) -> None:
    """Refuse a near plane from which this spacing has no meaning, where its value is known (not traced).

    Raises:
        ValueError: near <= 0 with disparity spacing, where 1 / near is infinite.
    """
    try:
        value = float(near)
    except jax.errors.ConcretizationTypeError:
        return
    if spacing == 'disparity' and value <= 0:
        raise ValueError(f'near = {value} with disparity spacing: expected near > 0; use linear spacing or set near')


def s_to_t(s: Float[Array, 'n'], near: Scalar, far: Scalar, spacing: str = 'linear') -> Float[Array, 'n']:
    """Convert s to t in [near, far]; s = 0 gives near and s = 1 gives far (in disparity to the last bit but one).

    Raises:
        ValueError: see `check_near`; or if given a batch of rays.
    """
    expect('one row of s', s, None)
    check_near(near, spacing)
    g, inverse = SPACINGS[spacing]
    t = inverse((1 - s) * g(near) + s * g(far))
    return jnp.clip(t, near, far)


def t_to_s(t: Float[Array, 'n'], near: Scalar, far: Scalar, spacing: str = 'linear') -> Float[Array, 'n']:
    """Convert t to s, the inverse of `s_to_t`: s = (g(t) - g(near)) / (g(far) - g(near)).

    Raises:
        ValueError: if given a batch of rays.
    """
    expect('one row of t', t, None)
    g, _ = SPACINGS[spacing]
    return jnp.clip((g(t) - g(near)) / (g(far) - g(near)), 0.0, 1.0)
