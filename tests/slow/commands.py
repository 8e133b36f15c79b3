"""Runs of main.py as a user starts them, for the tests in this folder."""

import os
import subprocess
import sys
from pathlib import Path

from nerf.data.feed.quiet_tensorflow import tf

ROOT = Path(__file__).parent.parent.parent


def start(model_dir, *flags, devices=1):
    """main.py with configs/tiny.py in its own process."""
    return start_python('main.py', '--config=configs/tiny.py', f'--model_dir={model_dir}', *flags, devices=devices)


def start_python(*args, devices=1):
    """Python in its own process."""
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    environment['XLA_FLAGS'] = f'--xla_force_host_platform_device_count={devices}'
    command = [sys.executable, *args]
    return subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)


def finish(*processes):
    """Wait for all; their outputs."""
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    for process, output in zip(processes, outputs, strict=True):
        assert process.returncode == 0, output
    return outputs


def loss_curve(model_dir):
    """The training losses that TensorBoard was given, by step."""
    curve = {}
    for file in sorted(Path(model_dir).glob('events.out.tfevents.*')):
        for event in tf.compat.v1.train.summary_iterator(str(file)):
            for value in event.summary.value:
                if value.tag == 'train/loss':
                    curve[event.step] = float(tf.make_ndarray(value.tensor))
    return curve
