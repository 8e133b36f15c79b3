"""`JAX_DISABLE_JIT=1`: one operation after the other, to look into any of them."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
STEP = """
import json, jax, jax.numpy as jnp, numpy as np
from configs import tiny
from nerf import lifting
from nerf.config import resolve
from nerf.data import procedural
from nerf.models import make_model
from nerf.ray.structs import Pixel
from nerf.train.optimizer import make_optimizer
from nerf.train.state import init_state
from nerf.train.step import make_train_step
scene = procedural.load(8)

config = resolve(tiny.get_config())
model, optimizer = make_model(config.model_name, config.model), make_optimizer(config)
count = config.batch_size
rng = np.random.default_rng(0)
pixels = Pixel(
    rng.integers(0, 60, count).astype(np.int32), rng.uniform(0, 8, (count, 2)).astype(np.float32),
    rng.integers(0, 256, (count, 4)).astype(np.uint8), np.ones(count, np.float32),
)
with jax.disable_jit(False):
    state = init_state(model, optimizer, scene.cameras, 0)
step = lifting.over_devices(make_train_step(model, optimizer, config))
new, metrics = step(lifting.replicate(state), lifting.shard(pixels), lifting.replicate(scene.cameras))
total, weight = lifting.unreplicate(metrics['loss'])
leaves = jax.tree.leaves(lifting.unreplicate(new.params))
print(json.dumps([float(total / weight), float(sum(np.abs(x).sum() for x in leaves))]))
"""


def run(code, **environment):
    environment = {**os.environ, 'JAX_PLATFORMS': 'cpu', 'PYTHONPATH': str(ROOT), **environment}
    done = subprocess.run([sys.executable, '-c', code], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    return json.loads(done.stdout.splitlines()[-1])


def test_a_step_without_compilation_is_the_same_step():
    assert run(STEP, JAX_DISABLE_JIT='1') == pytest.approx(run(STEP), rel=1e-5)
