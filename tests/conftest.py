"""What all tests share: one CPU by default, no silent broadcasting between ranks, one example ray."""

import os

os.environ.setdefault('JAX_PLATFORMS', 'cpu')

import jaxtyping

# Shapes in the signatures of the core are checked at every call, before anything imports it.
CHECKED = (
    *('nerf.ray', 'nerf.flat', 'nerf.lifting', 'nerf.fields', 'nerf.models'),
    *(
        'nerf.train.state',
        'nerf.train.step',
        'nerf.train.optimizer',
        'nerf.render.maps',
        'nerf.render.skip',
        'nerf.render.normals',
    ),
)
jaxtyping.install_import_hook(CHECKED, 'beartype.beartype')

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


@pytest.fixture
def unchecked():
    """Switch the checks of shapes off, to see the library's own refusals."""
    jaxtyping.config.update('jaxtyping_disable', True)
    yield
    jaxtyping.config.update('jaxtyping_disable', False)
