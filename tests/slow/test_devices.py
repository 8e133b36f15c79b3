"""The number of devices and processes does not change a run."""

import json
import socket

import numpy as np
import pytest
from commands import finish, loss_curve, start, start_python

from nerf.train.run_folder import load

FLAGS = ('--config.num_steps=50', '--config.log_every=1', '--config.eval_every=1000', '--config.final_tasks=()')


@pytest.fixture(scope='module')
def one_device(tmp_path_factory):
    folder = tmp_path_factory.mktemp('one')
    finish(start(folder, *FLAGS))
    return folder


@pytest.mark.parametrize('devices', [2, 4])
def test_devices_agree(one_device, tmp_path, devices):
    finish(start(tmp_path, *FLAGS, devices=devices))
    expected, found = loss_curve(one_device), loss_curve(tmp_path)
    assert len(expected) == 50
    np.testing.assert_allclose([found[step] for step in expected], list(expected.values()), rtol=1e-4)
    assert load(str(tmp_path)).step == 50  # here, on one device


UNEVEN = """
import json, sys, jax, numpy as np, optax
from configs import tiny
from nerf import lifting
from nerf.config import resolve
from nerf.data import procedural
from nerf.models import make_model
from nerf.ray.structs import Pixel
from nerf.train.optimizer import make_optimizer
from nerf.train.state import init_state
from nerf.train.step import make_train_step

config = tiny.get_config()
config.num_steps = 100
config = resolve(config)
model = make_model(config.model_name, config.model)
optimizer = make_optimizer(config)
cameras = procedural.views(16)[2]
rng = np.random.default_rng(0)
pixels = Pixel(
    camera=rng.integers(0, 60, 64).astype(np.int32),
    xy=rng.uniform(0, 16, (64, 2)).astype(np.float32),
    rgba=np.repeat(rng.integers(0, 255, (4, 1, 4)), 16, 1).reshape(64, 4).astype(np.uint8),
    weight=np.repeat(np.float32([1, 4, 16, 64]), 16),  # each of four devices has its own
)
state = init_state(model, optimizer, cameras, 0)
step = lifting.over_devices(make_train_step(model, optimizer, config))
state, metrics = step(lifting.replicate(state), lifting.shard(pixels), lifting.replicate(cameras))
loss, weight = (float(part.sum()) for part in metrics['loss'])
gradient = jax.tree.leaves(optax.tree.get(lifting.unreplicate(state).opt_state, 'mu'))
print(json.dumps({'weight': weight, 'loss': loss / weight, 'gradient': np.concatenate([g.ravel() for g in gradient]).tolist()}))
"""


def test_uneven_weights_are_those_of_the_whole_batch():
    one, four = (json.loads(finish(start_python('-c', UNEVEN, devices=devices))[0]) for devices in (1, 4))
    assert one['weight'] == four['weight'] == 16 * (1 + 4 + 16 + 64)
    assert four['loss'] == pytest.approx(one['loss'], rel=1e-5)
    np.testing.assert_allclose(four['gradient'], one['gradient'], rtol=1e-3, atol=1e-6 * np.abs(one['gradient']).max())


def test_two_processes_agree(one_device, tmp_path):
    with socket.socket() as probe:
        probe.bind(('localhost', 0))
        port = probe.getsockname()[1]
    join = (f'--coordinator=localhost:{port}', '--num_processes=2', "--config.final_tasks=('test',)")
    outputs = finish(*(start(tmp_path, *FLAGS[:-1], *join, f'--process_id={i}') for i in range(2)))
    expected, found = loss_curve(one_device), loss_curve(tmp_path)
    np.testing.assert_allclose([found[step] for step in expected], list(expected.values()), rtol=1e-4)
    assert list(tmp_path.glob('render/test/*/metrics.json'))
    assert 'PSNR' in outputs[0]
    assert 'PSNR' not in outputs[1]
