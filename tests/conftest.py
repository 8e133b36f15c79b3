"""What all tests share: checked signatures, one CPU by default, no silent broadcasting between ranks, one example ray."""

import os

os.environ.setdefault('JAX_PLATFORMS', 'cpu')

import jax
import jax.numpy as jnp
import jaxtyping
import pytest

# Modules, with those below them, whose signatures are checked in all tests: types, and the shapes that jaxtyping's names say.
# Under vmap a call has the shapes of one ray, so this is the one-ray rule. The hook must be there before they are imported.
CHECKED = ['nerf.ray', 'nerf.flat']
jaxtyping.install_import_hook(CHECKED, 'beartype.beartype')

from nerf.ray.structs import Ray  # noqa: E402

jax.config.update('jax_numpy_rank_promotion', 'raise')


@pytest.fixture
def unchecked():
    """Switch the check of signatures off, as it is for users: for tests of what a function itself refuses."""
    jaxtyping.config.update('jaxtyping_disable', True)
    yield
    jaxtyping.config.update('jaxtyping_disable', False)


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
