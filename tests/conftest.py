"""What all tests share: one CPU by default, no silent broadcasting between ranks, one example ray."""

import atexit
import os
import shutil
import tempfile

os.environ.setdefault('JAX_PLATFORMS', 'cpu')
if 'JAX_COMPILATION_CACHE_DIR' not in os.environ:
    # What one test has compiled, the others of this run need not: the workers of pytest-xdist and subprocesses inherit it.
    os.environ['JAX_COMPILATION_CACHE_DIR'] = tempfile.mkdtemp(prefix='nerf_tests_')
    os.environ['JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS'] = '0.1'
    os.environ['JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES'] = '-1'
    atexit.register(shutil.rmtree, os.environ['JAX_COMPILATION_CACHE_DIR'], ignore_errors=True)

import jaxtyping

# Shapes in the signatures of the core are checked at every call, before anything imports it.
CHECKED = (
    *('nerf.ray', 'nerf.flat', 'nerf.lifting', 'nerf.fields', 'nerf.models'),
    *(
        'nerf.train.state',
        'nerf.train.step',
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
