import dataclasses
import json

import jax
import numpy as np
import pytest

from configs import tiny
from nerf import lifting
from nerf.config import resolve
from nerf.data import procedural
from nerf.data.poses import FRAME_ARRAYS, Frame
from nerf.errors import UserError
from nerf.models import make_model
from nerf.ray.lenses import Lens
from nerf.train import run_folder as model_dir
from nerf.train.optimizer import make_optimizer
from nerf.train.saving import CheckpointWriter
from nerf.train.state import init_state


@pytest.fixture(scope='module')
def scene():
    return procedural.load(8)


@pytest.fixture
def run(scene):
    return model_dir.Run(resolve(tiny.get_config()), None, 'abc', scene)


def save_state(folder, run, step):
    config = run.config
    model = make_model(config.model_name, config.model)
    state = init_state(model, make_optimizer(config), run.scene.cameras, seed=step)
    CheckpointWriter(str(folder / 'checkpoints')).save(state.replace(step=np.int32(step) + np.zeros((), np.int32)))
    return model, state


def test_what_is_saved_is_loaded(tmp_path, run):
    model_dir.save_run(str(tmp_path), run)
    model, state = save_state(tmp_path, run, 7)
    save_state(tmp_path, run, 9)
    trained = model_dir.load(str(tmp_path), step=7)
    assert trained.step == 7
    assert trained.config.to_dict() == run.config.to_dict()
    assert trained.model == model
    assert trained.scene.names == run.scene.names
    jax.tree.map(np.testing.assert_array_equal, trained.params, jax.device_get(state.params))
    jax.tree.map(np.testing.assert_array_equal, trained.scene.cameras, run.scene.cameras)
    assert model_dir.load(str(tmp_path)).step == 9


@pytest.mark.parametrize(('has_lens', 'has_ndc'), [(True, False), (False, True)])
def test_lenses_and_ndc_are_saved(tmp_path, run, has_lens, has_ndc):
    count = len(run.scene.names)
    lens = Lens(np.linspace(0, 0.1, 8 * count, dtype=np.float32).reshape(count, 8), np.arange(count, dtype=np.int32) % 2)
    ndc = np.linspace(1, 2, 2 * count, dtype=np.float32).reshape(count, 2)
    cameras = run.scene.cameras.replace(lens=lens if has_lens else None, ndc=ndc if has_ndc else None)
    run = dataclasses.replace(run, scene=dataclasses.replace(run.scene, cameras=cameras))
    model_dir.save_run(str(tmp_path), run)
    found = model_dir.load_run(str(tmp_path)).scene.cameras
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x, y, strict=True), found, cameras)


def test_cameras_without_distortion_are_saved_without_it(tmp_path, run):
    model_dir.save_run(str(tmp_path), run)
    with np.load(tmp_path / 'cameras.npz') as stored:
        cameras = ('camera_to_world', 'camera_to_pixel', 'width', 'height', 'near', 'far')
        assert set(stored) == {'names', 'split', *cameras, *FRAME_ARRAYS}
    assert model_dir.load_run(str(tmp_path)).scene.cameras.lens is None


def test_the_frame_is_saved_to_the_last_bit(tmp_path, run):
    turned = np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]])
    frame = Frame(turned, np.array([441550.6683594056, 5121941.020510139, 2344.1]), 1 / 3)
    model_dir.save_run(str(tmp_path), dataclasses.replace(run, scene=dataclasses.replace(run.scene, frame=frame)))
    found = model_dir.load_run(str(tmp_path)).scene.frame
    for value, expected in zip(found, frame, strict=True):
        np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize(('name', 'value'), [('rotation', -np.eye(3)), ('origin', [0, np.nan, 0]), ('scale', 0.0)])
def test_a_frame_that_is_no_similarity_is_refused(tmp_path, run, name, value):
    frame = Frame(np.eye(3), np.zeros(3), 1.0)._replace(**{name: value})
    model_dir.save_run(str(tmp_path), dataclasses.replace(run, scene=dataclasses.replace(run.scene, frame=frame)))
    with pytest.raises(UserError, match=r"cameras\.npz: the similarity from the file's world: expected a rotation"):
        model_dir.load_run(str(tmp_path))


def test_a_run_without_an_array_is_damaged(tmp_path, run):
    model_dir.save_run(str(tmp_path), run)
    with np.load(tmp_path / 'cameras.npz') as stored:
        arrays = {name: stored[name] for name in stored if name != 'width'}
    np.savez(tmp_path / 'cameras.npz', **arrays)
    with pytest.raises(UserError, match=r'damaged.*width'):
        model_dir.load_run(str(tmp_path))


def test_nerf_load_is_the_same(tmp_path, run):
    import nerf

    model_dir.save_run(str(tmp_path), run)
    save_state(tmp_path, run, 3)
    trained = nerf.load(str(tmp_path))
    ray = lifting.over_rays(lambda x: x)(np.zeros(1))  # the lift works beside TensorFlow
    assert (trained.step, ray.shape) == (3, (1,))


def test_other_settings_or_images_are_refused(tmp_path, run):
    model_dir.save_run(str(tmp_path), run)
    save_state(tmp_path, run, 3)
    model_dir.save_run(str(tmp_path), run)
    config = tiny.get_config()
    config.model.width = 8
    with pytest.raises(UserError, match=r'config.model.width was 16 and is 8'):
        model_dir.save_run(str(tmp_path), model_dir.Run(resolve(config), None, 'abc', run.scene))
    with pytest.raises(UserError, match='trained on other images'):
        model_dir.save_run(str(tmp_path), model_dir.Run(run.config, 'there', 'abd', run.scene))


def test_a_folder_without_checkpoints_takes_the_mended_settings(tmp_path, run):
    """A start that failed leaves a description; the corrected command is not refused for it, nor by damage of it."""
    model_dir.save_run(str(tmp_path), run)
    config = tiny.get_config()
    config.model.width = 8
    mended = dataclasses.replace(run, config=resolve(config))
    assert [(leg.start, leg.num_steps) for leg in model_dir.save_run(str(tmp_path), mended)] == [(0, 40)]
    assert model_dir.load_run(str(tmp_path)).config.model.width == 8
    (tmp_path / 'run.json').write_text('{')
    model_dir.save_run(str(tmp_path), run)
    assert model_dir.load_run(str(tmp_path)).config.model.width == 16


def test_a_folder_without_a_run_or_checkpoint(tmp_path, run):
    with pytest.raises(UserError, match=r'found no run.json'):
        model_dir.load(str(tmp_path))
    model_dir.save_run(str(tmp_path), run)
    with pytest.raises(UserError, match='no checkpoint yet'):
        model_dir.load(str(tmp_path))


@pytest.mark.parametrize('name', ['run.json', 'cameras.npz'])
def test_damage_is_named(tmp_path, run, name):
    model_dir.save_run(str(tmp_path), run)
    content = (tmp_path / name).read_bytes()
    (tmp_path / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(UserError, match='damaged'):
        model_dir.load_run(str(tmp_path))


def test_another_format_is_refused(tmp_path, run):
    model_dir.save_run(str(tmp_path), run)
    description = json.loads((tmp_path / 'run.json').read_text())
    (tmp_path / 'run.json').write_text(json.dumps({**description, 'format': 99}))
    with pytest.raises(UserError, match='format 99 found, expected 3'):
        model_dir.load_run(str(tmp_path))


def test_a_folder_that_cannot_be_written(tmp_path):
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match='cannot be written'):
        model_dir.prepare(str(tmp_path / 'file' / 'run'))


def test_a_link_in_place_of_the_checkpoints_is_refused_before_training(tmp_path):
    (tmp_path / 'elsewhere').mkdir()
    (tmp_path / 'run').mkdir()
    (tmp_path / 'run/checkpoints').symlink_to(tmp_path / 'elsewhere')
    with pytest.raises(UserError, match='checkpoints: found a link'):
        model_dir.prepare(str(tmp_path / 'run'))
