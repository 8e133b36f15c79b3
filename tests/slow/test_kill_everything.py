"""Any command, killed at any moment and begun again, ends with the files of one that was not.

`KILLS=60 pytest -m slow tests/slow/test_kill_everything.py` is the campaign; 15 kills are the usual test.
"""

import json
import os
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from commands import finish, start_python

from nerf.train.run_folder import load

KILLS = int(os.environ.get('KILLS', 15))
TRAIN = ('main.py', '--config=configs/tiny.py', '--config.checkpoint_every=5', "--config.final_tasks=('test', 'video')")
# Commands in the order in which they build on each other, {} the run's folder.
STAGES = {
    'train, evaluate, render': (*TRAIN, '--model_dir={}'),
    'longer': (*TRAIN, '--config.num_steps=300', '--model_dir={}'),
    'video': ('render.py', '--model_dir={}', '--task=video', '--path=train', '--show=rgb,normals', '--num_frames=6'),
    'mesh': ('render.py', '--model_dir={}', '--task=mesh', '--resolution=40', '--level=0.1'),
    'points': ('render.py', '--model_dir={}', '--task=points', '--depth'),
    'scene': ('-m', 'nerf.data.procedural', '--out={}/scene', '--width=24'),
}


def start(stage, folder):
    return start_python(*(word.format(folder) for word in STAGES[stage]))


def files_of(folder):
    """All finished files by name: what an interrupted write leaves is hidden, and the clock is no result."""
    kept = (path for path in Path(folder).rglob('*') if path.is_file() and not path.name.startswith('.'))
    return {
        str(path.relative_to(folder)): what_is_done(path)
        for path in kept
        if not path.name.startswith('events.') and path.name != 'training.json' and 'checkpoints' not in path.parts
    }


def what_is_done(path):
    """The bytes of a file; run.json without the words that say who made it, where the command names the folder."""
    if path.name != 'run.json':
        return path.read_bytes()
    return {name: value for name, value in json.loads(path.read_text()).items() if name not in ('made', 'sha256')}


def seconds_of(stage, folder):
    began = time.monotonic()
    finish(start(stage, folder))
    return time.monotonic() - began


def test_killed_at_any_moment_and_begun_again(tmp_path):
    pytest.importorskip('trimesh')
    straight, broken = tmp_path / 'straight', tmp_path / 'broken'
    rng = np.random.default_rng(0)
    for stage in STAGES:
        seconds = seconds_of(stage, straight)
        is_done = False
        for _ in range(-(-KILLS // len(STAGES))):
            before = files_of(broken)
            process = start(stage, broken)
            time.sleep(rng.uniform(0.1, 0.95) * seconds)
            process.kill()
            process.communicate()
            is_done |= process.returncode == 0  # the kill came too late: what is compiled already is quicker
            # Whatever has its name is whole: it is what it was, or what it will be.
            for name, content in files_of(broken).items():
                if name not in ('run.json', 'cameras.npz'):
                    assert content in (before.get(name), files_of(straight).get(name)), (stage, name)
        if not is_done:
            finish(start(stage, broken))
        expected, found = files_of(straight), files_of(broken)
        assert found.keys() == expected.keys(), stage
        differing = [name for name in found if found[name] != expected[name]]
        assert not differing, (stage, differing)
        state, expected_state = load(str(broken)), load(str(straight))
        assert state.step == expected_state.step
        jax.tree.map(np.testing.assert_array_equal, state.params, expected_state.params)
