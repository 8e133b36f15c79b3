"""`JAX_ENABLE_X64=1`, in a process of its own: what one uses to check a derivation."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
START = """
import json, jax, jax.numpy as jnp, numpy as np
from configs import instant_small, mipnerf_small
from nerf.config import resolve
from nerf.data import procedural
from nerf.models import make_model
from nerf.ray.cameras import cast
from nerf.ray.structs import Pixel
from nerf.train.step import pixel_terms
scene = procedural.load(8)
"""
GRADIENTS = (
    START
    + """
def to(dtype, tree):
    return jax.tree.map(lambda x: jnp.asarray(x, dtype if np.issubdtype(np.asarray(x).dtype, np.floating) else None), tree)

found = {}
for module in (mipnerf_small, instant_small):
    config = module.get_config()
    config.model.update({name: 2 for name in ('depth', 'proposal_depth') if name in config.model})
    config = resolve(config)
    model = make_model(config.model_name, config.model)
    first = jax.tree.map(lambda x: x[0], scene.cameras)
    ray = to(jnp.float32, cast(to(jnp.float32, first), jnp.array([4.5, 4.5], jnp.float32)))
    start = jax.tree.map(np.asarray, jax.jit(model.init)(jax.random.key(0), ray))
    for dtype in ('float32', 'float64'):
        variables, camera = to(dtype, start), to(dtype, first)
        xy, one = to(dtype, (np.array([4.5, 4.5]), np.ones(())))
        pixel = Pixel(jnp.int32(0), xy, jnp.array([10, 20, 200, 255], jnp.uint8), one)
        def loss(params):
            terms = pixel_terms(model, config, {**variables, 'params': params}, camera, None, pixel, jax.random.key(3), one)
            return terms['loss']
        value, gradient = jax.jit(jax.value_and_grad(loss))(variables['params'])
        leaves = jax.tree.leaves(gradient)
        norm = float(np.sqrt(sum(np.sum(np.asarray(x, np.float64) ** 2) for x in leaves)))
        found[f'{config.model_name} {dtype}'] = [str(value.dtype), float(value), norm, sorted({str(x.dtype) for x in leaves})]
print(json.dumps(found))
"""
)


def run(code, **environment):
    environment = {**os.environ, 'JAX_PLATFORMS': 'cpu', 'PYTHONPATH': str(ROOT), **environment}
    done = subprocess.run([sys.executable, '-c', code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_models_losses_and_gradients_in_float64():
    """float64 stays float64, agrees with float32."""
    found = run(GRADIENTS, JAX_ENABLE_X64='1')
    for name in ('mipnerf', 'instant'):
        (_, single, single_norm, _), (dtype, double, double_norm, dtypes) = (
            found[f'{name} {each}'] for each in ('float32', 'float64')
        )
        assert (dtype, dtypes) == ('float64', ['float64'])
        assert single == pytest.approx(double, rel=1e-4)
        assert single_norm == pytest.approx(double_norm, rel=1e-2)
