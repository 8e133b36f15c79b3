"""Forced devices, and the few steps that do not depend on how many there are."""

import json
import os
import subprocess
import sys

import jax
import numpy as np
import pytest

from nerf.errors import UserError
from nerf.lessons.devices import force_cpu_devices
from nerf.lessons.few_steps import few_steps

ASK = 'from nerf.lessons.devices import force_cpu_devices; force_cpu_devices(3); import jax; print(jax.local_device_count())'


def test_devices_are_forced_before_jax_is_imported():
    environment = {**os.environ, 'XLA_FLAGS': '--xla_force_host_platform_device_count=2'}
    done = subprocess.run([sys.executable, '-c', ASK], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout == '3\n'


def test_it_is_too_late_once_jax_runs():
    force_cpu_devices(jax.local_device_count())
    with pytest.raises(UserError, match=r'expected 7: restart the kernel'):
        force_cpu_devices(7)


@pytest.mark.slow  # so does tests/train/test_photos_and_state.py, with all of training; this is a lesson's own command
def test_two_devices_learn_what_one_learns():
    command = [sys.executable, '-m', 'nerf.lessons.few_steps', '--devices=2', '--steps=3']
    two = json.loads(subprocess.run(command, capture_output=True, text=True, check=True).stdout)
    one = few_steps(3)
    np.testing.assert_allclose(two['parameters'], one['parameters'], atol=2e-6)
    np.testing.assert_allclose(two['mse'], one['mse'], rtol=1e-5)
