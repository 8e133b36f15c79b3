"""The commands as a user types them; what fails here fails before JAX or TensorFlow are loaded, so it is quick."""

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


def run(script, *args):
    environment = {**os.environ, 'PYTHONPATH': str(ROOT)}
    return subprocess.run([sys.executable, script, *args], cwd=ROOT, env=environment, capture_output=True, text=True)


@pytest.mark.parametrize(
    ('args', 'message'),
    [
        (['--config=configs/tiny.py', '--config.modle=1'], "error: unknown config entry 'modle': expected one of batch_size, "),
        (['--config=configs/tiny.py', '--config.model.width.x=1'], 'error: config.model.width is a value, not a section'),
        (['--config=configs/no.py'], 'error: --config=configs/no.py: no such file'),
        (['--config=configs/tiny.py', 'more'], "error: unexpected argument 'more'"),
        ([], 'error: --config is missing'),
    ],
)
def test_wrong_flags_of_main(args, message):
    done = run('main.py', *args)
    assert done.returncode == 1
    assert done.stderr.startswith(message)
    assert len(done.stderr.strip().splitlines()) == 1
    assert done.stdout == ''


def test_wrong_flags_of_render():
    done = run('render.py')
    assert (done.returncode, done.stderr) == (1, 'error: --model_dir is missing: expected the folder of a training run\n')


@pytest.mark.parametrize(
    ('args', 'expected'),
    [
        (
            ['--help'],
            [
                'Train a scene',
                '--config: What to train',
                '--data_dir: The scene',
                'configs/quickstart.py ',
                'The first thing to run',
            ],
        ),
        (
            ['--config=configs/tiny.py', '--config.seed=5', '--help'],
            ['configs/tiny.py: Everything', '--config.seed=5', 'of parameters'],
        ),
    ],
)
def test_help_is_printed_without_tensorflow(args, expected):
    done = run('-X', 'importtime', 'main.py', *args)
    assert done.returncode == 0
    assert all(each in done.stdout for each in expected)
    assert not re.search(r'\| +tensorflow$', done.stderr, re.MULTILINE)
    assert re.search(r'\| +nerf.config_help$', done.stderr, re.MULTILINE)


def test_help_of_render_and_of_a_wrong_override():
    done = run('render.py', '-h')
    assert done.returncode == 0
    assert '--model_dir: The folder of a training run.' in done.stdout
    done = run('main.py', '--config=configs/tiny.py', '--config.sede=5', '--help')
    assert (done.returncode, done.stdout) == (1, '')
    assert done.stderr.startswith("error: unknown config entry 'sede'")
