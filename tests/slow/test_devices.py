"""The number of devices and processes does not change a run."""

import socket

import numpy as np
import pytest
from commands import finish, loss_curve, start

from nerf.model_dir import load

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


def test_two_processes_agree(one_device, tmp_path):
    with socket.socket() as probe:
        probe.bind(('localhost', 0))
        port = probe.getsockname()[1]
    join = (f'--coordinator=localhost:{port}', '--num_processes=2', "--config.final_tasks=('test',)")
    outputs = finish(*(start(tmp_path, *FLAGS[:-1], *join, f'--process_id={i}') for i in range(2)))
    expected, found = loss_curve(one_device), loss_curve(tmp_path)
    np.testing.assert_allclose([found[step] for step in expected], list(expected.values()), rtol=1e-4)
    assert (tmp_path / 'render/test/metrics.json').exists()
    assert 'PSNR' in outputs[0]
    assert 'PSNR' not in outputs[1]
