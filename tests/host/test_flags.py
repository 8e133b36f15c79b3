"""Overrides of the config on the command line, tried with the two commands themselves."""

import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SHOW = """
import sys
from absl import flags
from ml_collections import config_flags
from nerf.host import flags as commands
config = config_flags.DEFINE_config_file('config', None, '')
folder = commands.define_path('folder', '')
commands.run(lambda argv: print(config.value.data.width, config.value.data.factor, config.value.data.near, folder.value))
"""


def run(*args, config='instant_360.py', env=None):
    command = [sys.executable, '-c', SHOW, f'--config={ROOT}/configs/{config}', *args]
    return subprocess.run(command, capture_output=True, text=True, cwd=ROOT, env=env)


@pytest.mark.parametrize(
    ('args', 'expected'),
    [
        ([], '130 1 None None'),
        (['--config.data.width=none'], 'None 1 None None'),
        (['--config.data.near=0.5', '--config.data.width=50'], '50 1 0.5 None'),
        (['--config.data.factor=2'], 'None 2 None None'),
        (['--config.data.width=60'], '60 1 None None'),
        (['--config.data.factor=2', '--config.data.width=none'], 'None 2 None None'),
    ],
)
def test_entries_are_unset_and_the_one_asked_for_wins(args, expected):
    done = run(*args)
    assert (done.stdout.strip(), done.returncode) == (expected, 0), done.stderr


def test_a_set_entry_is_unset():
    assert run(config='mipnerf360.py').stdout.strip() == 'None 4 0.2 None'
    assert run('--config.data.near', 'None', config='mipnerf360.py').stdout.strip() == 'None 4 None None'


@pytest.mark.parametrize(
    ('args', 'sentence'),
    [
        (['--config.data.factor=2', '--config.data.width=50'], 'error: --config.data.factor and --config.data.width exclude'),
        (['--config.data.widht=none'], 'error: --config.data.widht=none: there is no such entry'),
        (['--config.dat.width.x=none'], 'error: --config.dat.width.x=none: there is no such entry'),
    ],
)
def test_what_cannot_be_unset_is_a_sentence(args, sentence):
    done = run(*args)
    assert done.returncode == 1
    assert done.stderr.startswith(sentence)


def test_a_tilde_is_the_home_folder():
    done = run('--folder=~/logs/x', env={'HOME': '/somewhere', 'PATH': '', 'PYTHONPATH': str(ROOT)})
    assert done.stdout.split()[-1] == '/somewhere/logs/x'
