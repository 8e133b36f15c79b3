"""Numbers of photos and kept state go through training, resuming, rendering from a run's folder, and several devices."""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from photo_members import MEMBERS, make_config, register, unregister

from nerf import lifting
from nerf.data import procedural
from nerf.host.processes import Interruption
from nerf.render.image import Renderer
from nerf.train.loop import train
from nerf.train.run_folder import Run, load, save_run

STEPS = 12


@pytest.fixture(scope='module', autouse=True)
def members():
    register()
    yield
    unregister()


@pytest.fixture(scope='module')
def scene():
    return procedural.load(8)


def run(scene, folder, stop_after=None):
    config, interruption = make_config(STEPS), Interruption()
    folder.mkdir(exist_ok=True)
    save_run(str(folder), Run(config, None, 'abc', scene))

    def stop(step, state):
        if step == stop_after:  # as a signal would
            interruption._has_come = True

    return train(config, scene, str(folder), interruption, [stop])


@pytest.fixture(scope='module')
def trained(scene, tmp_path_factory):
    folder = tmp_path_factory.mktemp('photos')
    return folder, run(scene, folder)


def test_rows_of_training_photos_are_trained_and_no_others(scene, trained):
    _, state = trained
    is_training = np.isin(np.arange(len(scene.names)), scene.indices('train'))
    for name, numbers in MEMBERS.items():
        table = np.asarray(state.photos[name])
        assert table.shape == (len(scene.names), numbers.count)
        moved = np.abs(table - numbers.start).max(axis=1)
        assert moved[is_training].max() > 1e-3, name
        np.testing.assert_array_equal(moved[~is_training], 0)


def test_the_model_updates_its_state_once_a_step(trained):
    _, state = trained
    assert int(state.state['count']) == STEPS == int(state.step)


def test_a_run_that_is_interrupted_and_resumed_is_the_whole_run(scene, trained, tmp_path):
    first = run(scene, tmp_path / 'parts', stop_after=5)
    assert int(first.step) == int(first.state['count']) == 5
    second = run(scene, tmp_path / 'parts')
    jax.tree.map(np.testing.assert_array_equal, second, trained[1])


def test_a_view_from_the_run_folder_needs_no_photographs(scene, trained):
    folder, _ = trained
    loaded = load(str(folder))
    assert int(loaded.state['count']) == STEPS
    assert len(loaded.scene.pixels) == 0
    renderer, variables = Renderer(loaded.model, 'white', chunk=64), lifting.replicate(loaded.variables)
    index = int(scene.indices('train')[0])
    camera = loaded.scene.camera(index)
    plain = renderer.image(variables, camera)
    none = renderer.image(variables, camera, photo={name: np.asarray(table[index]) for name, table in loaded.photos.items()})
    assert np.abs(none['rgb'] - plain['rgb']).max() > 1e-3

    # Each place by itself: a gain multiplies the colour, a tint adds to what is there, a shift moves the camera.
    start = {name: np.full(numbers.count, numbers.start, np.float32) for name, numbers in MEMBERS.items()}
    same = renderer.image(variables, camera, photo=start)
    np.testing.assert_allclose(same['rgb'], plain['rgb'], atol=1e-6)
    brighter = renderer.image(variables, camera, photo={**start, 'gain': np.float32([1.5])})
    np.testing.assert_allclose(brighter['rgb'], 1.5 * plain['rgb'], rtol=1e-5)
    tinted = renderer.image(variables, camera, photo={**start, 'tint': np.float32([0.1, 0.0, -0.2])})
    np.testing.assert_allclose(tinted['rgb'] - plain['rgb'], plain['acc'][..., None] * [0.1, 0.0, -0.2], atol=1e-5)
    pose = camera.camera_to_world.copy()
    pose[:2, 3] += [0.3, -0.1]
    moved = renderer.image(variables, camera, photo={**start, 'shift': np.float32([0.3, -0.1])})
    expected = renderer.image(variables, camera.replace(camera_to_world=pose))
    for name in expected:
        np.testing.assert_allclose(moved[name], expected[name], rtol=1e-4, atol=1e-5, err_msg=name)


ON_FOUR = """
import json, sys
from pathlib import Path
sys.path.insert(0, {folder!r})
import jax, numpy as np
from photo_members import make_config, register
from nerf.data import procedural
from nerf.host.processes import Interruption
from nerf.train.loop import train
register()
assert jax.local_device_count() == 4
state = train(make_config({steps}), procedural.load(8), sys.argv[1], Interruption())
print(json.dumps([int(state.state['count']), {{name: np.asarray(table).tolist() for name, table in state.photos.items()}}]))
"""


def test_four_devices_agree_with_one(trained, tmp_path):
    environment = {**os.environ, 'JAX_PLATFORMS': 'cpu', 'XLA_FLAGS': '--xla_force_host_platform_device_count=4'}
    script = ON_FOUR.format(folder=str(Path(__file__).parent), steps=STEPS)
    command = [sys.executable, '-c', script, str(tmp_path)]
    root = Path(__file__).parents[2]
    done = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False, timeout=240)
    assert done.returncode == 0, done.stderr
    count, tables = json.loads(done.stdout.splitlines()[-1])
    assert count == STEPS
    for name, table in tables.items():
        np.testing.assert_allclose(table, trained[1].photos[name], atol=2e-4, err_msg=name)
