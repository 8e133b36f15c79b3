"""What all tests share: one CPU by default, no silent broadcasting between ranks, one example ray."""

import os

os.environ.setdefault('JAX_PLATFORMS', 'cpu')

import jax
import jax.numpy as jnp
import pytest

from nerf.ray.structs import Ray

jax.config.update('jax_numpy_rank_promotion', 'raise')


@pytest.fixture
def ray() -> Ray:
    """A ray whose direction is neither along an axis nor of length 1."""
    direction = jnp.array([0.3, -0.2, -1.0])
    return Ray(
        origin=jnp.array([0.1, 0.2, 4.0]),
        direction=direction,
        viewdir=direction / jnp.sqrt(1.13),
        radius=jnp.array(0.01),
        near=jnp.array(2.0),
        far=jnp.array(6.0),
    )
