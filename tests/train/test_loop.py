import dataclasses
import json
import logging
import os
import shutil
import signal

import imageio.v3 as imageio
import jax
import numpy as np
import pandas as pd
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.util.tensor_util import make_ndarray

from configs import tiny
from nerf import run as running
from nerf.config import resolve
from nerf.data import procedural
from nerf.errors import UserError
from nerf.host.processes import Interruption
from nerf.paths import PathOptions
from nerf.render import evaluation
from nerf.tasks.job import TaskOptions
from nerf.train import divergence
from nerf.train import loop as training
from nerf.train.board import Board
from nerf.train.checkpoints import Checkpoints
from nerf.train.run_folder import load

log = logging.getLogger('nerf')


@pytest.fixture(scope='module', autouse=True)
def cache(tmp_path_factory):
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv('TFDS_DATA_DIR', str(tmp_path_factory.mktemp('cache')))
        yield


@pytest.fixture(scope='module')
def finished(tmp_path_factory):
    """A whole run of configs/tiny.py."""
    folder = tmp_path_factory.mktemp('run')
    running.run(tiny.get_config(), None, str(folder))
    return folder


def test_views_of_another_split_are_measured_beside(finished):
    before = (finished / 'render/test/step_40/metrics.json').read_bytes()
    running.render(str(finished), ['test'], None, None, TaskOptions(split='val'))
    report = json.loads((finished / 'render/val/step_40/metrics.json').read_text())
    assert [image['image'] for image in report['images']] == [f'r_{i}' for i in range(4)]
    assert len(list((finished / 'render/val/step_40').glob('*_compare.png'))) == 4
    assert (finished / 'render/test/step_40/metrics.json').read_bytes() == before


def parameters(folder, step=None):
    return load(str(folder), step).params


def test_a_run_learns(finished):
    report = json.loads((finished / 'render/test/step_40/metrics.json').read_text())
    assert report['mean']['psnr'] > report['background_psnr'] + 0.5
    assert report['step'] == 40
    assert len(report['images']) == 10
    assert report['mean']['psnr'] == pytest.approx(np.mean([image['psnr'] for image in report['images']]))
    table = pd.read_csv(finished / 'render/test/step_40/metrics.csv')
    assert table.psnr.tolist() == pytest.approx([image['psnr'] for image in report['images']])
    assert 'SSIM' in report['protocol']


def test_the_files_of_a_run(finished):
    for ending in ('rgb', 'depth', 'acc'):
        assert imageio.imread(finished / f'render/test/step_40/r_3_{ending}.png').shape[:2] == (16, 16)
    assert imageio.imread(finished / 'render/test/step_40/r_3_compare.png').shape == (16, 4 * 16 + 3 * 4, 3)
    for name in ('rgb', 'depth'):
        assert imageio.imread(finished / f'render/video/spherical_step_40/{name}.mp4').shape == (4, 16, 16, 3)
    assert Checkpoints(str(finished / 'checkpoints')).steps() == [20, 40]
    assert list(finished.glob('events.out.tfevents.*'))


def test_tensorboard_has_dots_from_the_first_step_to_the_metrics_of_the_test_views(finished):
    means = json.loads((finished / 'render/test/step_40/metrics.json').read_text())['mean']
    assert {'psnr', 'ssim'} <= means.keys()
    board = EventAccumulator(str(finished), size_guidance={'tensors': 0})
    board.Reload()
    steps = {name: [each.step for each in board.Tensors(name)] for name in board.Tags()['tensors']}
    assert steps['train/psnr'] == [1, 2, 5, 10, 20, 30, 40]
    assert steps['validation/psnr'] == [20, 40]
    assert steps['validation/photo_render_error_depth'] == [20, 40]
    assert {each.partition('/')[2] for each in steps if each.startswith('validation/')} == {
        *(name for name in evaluation.quick() if name in means),
        'photo_render_error_depth',
        'acc',
    }
    for name in means:
        [found] = board.Tensors(f'test/{name}')
        assert found.step == 40
        assert make_ndarray(found.tensor_proto) == pytest.approx(means[name], rel=1e-6)
    width, height, *_ = make_ndarray(board.Tensors('validation/photo_render_error_depth')[0].tensor_proto)
    assert (int(width), int(height)) == (4 * 16 + 3 * 4, 16)
    assert '_hparams_/session_start_info' in board.summary_metadata


def test_a_finished_run_does_only_what_is_missing(finished, caplog):
    picture = finished / 'render/test/step_40/r_3_rgb.png'
    kept = finished / 'render/test/step_40/r_4_rgb.png'
    compared = finished / 'render/test/step_40/r_5_compare.png'
    before, time, same = picture.read_bytes(), kept.stat().st_mtime_ns, compared.read_bytes()
    compared.write_bytes(same[:50])
    picture.unlink()
    log.propagate = True
    with caplog.at_level(logging.INFO):
        running.run(tiny.get_config(), None, str(finished))
    assert 'training is complete at step 40' in caplog.text
    assert '9 of 10 test views of step 40 are there already' in caplog.text
    assert '4 of 4 frames of step 40 are there already' in caplog.text
    assert picture.read_bytes() == before
    assert kept.stat().st_mtime_ns == time
    assert compared.read_bytes() == same  # made of the pictures that are there


def files_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def test_nothing_that_was_finished_is_deleted(finished):
    """Other steps, other data, other paths and what a user wrote beside them only add files."""
    (finished / 'render/test/step_40/my_notes.txt').write_text('good')
    before = files_of(finished / 'render')
    renders = [
        (['test'], 20, None, TaskOptions(chunk=7)),
        (['test'], None, None, TaskOptions(skip_empty=False)),
        (['video'], None, None, TaskOptions(path_options=PathOptions(elevation=20.0, num_frames=2), endings=('gif',))),
        (['video'], None, None, TaskOptions(path='train', path_options=PathOptions(num_frames=2), preview=True)),
    ]
    for tasks, step, data_dir, options in renders:
        running.render(str(finished), tasks, step, data_dir, options)
        after = files_of(finished / 'render')
        assert after.keys() > before.keys()
        assert {name: after[name] for name in before} == before
        before = after
    assert json.loads((finished / 'render/test/step_20/metrics.json').read_text())['step'] == 20
    assert not json.loads((finished / 'render/test/step_40_skip_empty_false/metrics.json').read_text())['skip_empty']
    assert (finished / 'render/video/spherical_step_40_2/rgb.gif').exists()
    assert (finished / 'render/video/train_step_40/path.png').exists()


def test_a_link_in_the_folder_of_a_run_is_not_followed(finished, tmp_path):
    (tmp_path / 'test').mkdir()
    (tmp_path / 'test/thesis.tex').write_text('mine')
    shutil.copytree(finished, tmp_path / 'run')
    shutil.rmtree(tmp_path / 'run/render/test')
    (tmp_path / 'run/render/test').symlink_to(tmp_path / 'test')
    with pytest.raises(UserError, match='render/test: found a link'):
        running.render(str(tmp_path / 'run'), ['test'], None, None, TaskOptions())
    assert [path.name for path in (tmp_path / 'test').iterdir()] == ['thesis.tex']


def test_the_occupancy_grid_is_built_once(finished, caplog):
    grid = finished / 'render/occupancy_40.npz'
    before, picture = grid.read_bytes(), finished / 'render/test/step_40/r_3_rgb.png'
    skipping = picture.read_bytes()
    log.propagate = True
    with caplog.at_level(logging.INFO):
        running.render(str(finished), ['test'], None, None, TaskOptions(skip_empty=False))
        assert 'grid built' not in caplog.text
        grid.write_bytes(before[: len(before) // 2])
        running.render(str(finished), ['test'], None, None, TaskOptions())
        assert caplog.text.count('occupancy grid built') == 1
        assert grid.read_bytes() == before
        picture.unlink()
        running.render(str(finished), ['test'], None, None, TaskOptions())
        assert caplog.text.count('occupancy grid built') == 1
    assert picture.read_bytes() == skipping


def test_unknown_task_and_step(finished):
    with pytest.raises(UserError, match=r"unknown task 'tset': expected one of .*, test, video"):
        running.render(str(finished), ['tset'], None, None, TaskOptions())
    with pytest.raises(UserError, match='no checkpoint of step 21'):
        running.render(str(finished), ['test'], 21, None, TaskOptions())


def test_without_images_views_are_rendered_and_metrics_left_out(tmp_path, caplog):
    source = tmp_path / 'scene'
    procedural.write(str(source), 8)
    config = tiny.get_config()
    config.data.width, config.num_steps, config.test_every, config.final_tasks = 8, 2, 5, ('test',)
    running.run(config, str(source), str(tmp_path / 'run'))
    assert len(json.loads((tmp_path / 'run/render/test/step_2/metrics.json').read_text())['images']) == 2
    source.rename(tmp_path / 'moved')
    for file in (tmp_path / 'run/render/test/step_2').iterdir():
        file.unlink()
    log.propagate = True
    with caplog.at_level(logging.INFO):
        running.render(str(tmp_path / 'run'), ['test'], None, None, TaskOptions())
    assert 'metrics are left out' in caplog.text
    assert (tmp_path / 'run/render/test/step_2/r_5_rgb.png').exists()
    assert not (tmp_path / 'run/render/test/step_2/metrics.json').exists()
    running.render(str(tmp_path / 'run'), ['test'], None, str(tmp_path / 'moved'), TaskOptions())
    assert (tmp_path / 'run/render/test/step_2/metrics.json').exists()


def test_interrupted_and_resumed_is_bit_identical(finished, tmp_path):
    config = tiny.get_config()
    config.eval_every = 1000
    config = resolve(config)
    scene, _ = running.read_scene(config, None)

    def interrupt_at_25(step, state):
        if step == 25:
            os.kill(os.getpid(), signal.SIGTERM)

    with Interruption().catch_signals() as interruption:
        state = training.train(config, scene, str(tmp_path), interruption, hooks=[interrupt_at_25])
    assert int(state.step) == 25
    assert Checkpoints(str(tmp_path / 'checkpoints')).steps() == [20, 25]
    state = training.train(config, scene, str(tmp_path), Interruption())
    jax.tree.map(np.testing.assert_array_equal, state.params, parameters(finished))


def test_nonfinite_steps_stop_the_run(tmp_path, monkeypatch):
    monkeypatch.setattr(divergence, 'MAX_SKIPPED_IN_ROW', 5)
    config = tiny.get_config()
    config.optimizer.learning_rate, config.optimizer.warmup_steps = 1e11, 0
    with pytest.raises(UserError, match=r'not finite in \d+ steps in a row; lower config.optimizer.learning_rate'):
        running.run(config, None, str(tmp_path))


def test_a_collapse_is_named_once(caplog):
    watch = divergence.DivergenceMonitor(constant_colour_mse=0.1)
    log.propagate = True
    with caplog.at_level(logging.WARNING):
        watch.check(600, {'mse': 0.02, 'acc': 0.4, 'skipped_in_row': 0})
        assert caplog.text == ''
        watch.check(600, {'mse': 0.0999, 'acc': 0.001, 'skipped_in_row': 0})
        watch.check(700, {'mse': 0.0999, 'acc': 0.001, 'skipped_in_row': 0})
    assert caplog.text.count('empty (acc near 0)') == 1
    assert 'softplus' in caplog.text


def test_blank_mse_is_the_error_of_the_best_single_colour():
    scene = procedural.load(8)
    pixels = np.concatenate([scene.image(i).reshape(-1, 4)[::7] for i in scene.indices('train')]).astype(float)
    white = (pixels[:, :3] + 255 - pixels[:, 3:]) / 255
    errors = [np.mean((white - white.mean(0) - shift) ** 2) for shift in (0, 0.05, -0.05)]
    assert divergence.constant_colour_mse(scene, 'white') == pytest.approx(errors[0], rel=1e-3)
    assert errors[0] < min(errors[1:])
    masked = dataclasses.replace(scene, used=scene.pixels[:, 3] == 0)  # nothing but the background is left
    assert divergence.constant_colour_mse(masked, 'white') == pytest.approx(0, abs=1e-9)


def test_an_error_of_ours_is_told_after_the_state_was_saved(tmp_path):
    def fail(step, state):
        if step == 13:
            raise UserError('something of ours')

    config = resolve(tiny.get_config())
    running.prepare(str(tmp_path))
    with pytest.raises(UserError, match='something of ours'):
        training.train(config, procedural.load(16), str(tmp_path), Interruption(), [fail])
    assert Checkpoints(str(tmp_path / 'checkpoints')).steps() == [13]


def test_no_tensorboard_file_ends_a_training(tmp_path, caplog):
    """A file where CLU wants a folder: it raises at each call, here or from its threads."""
    (tmp_path / 'file').write_text('')
    log.propagate = True
    with caplog.at_level(logging.WARNING):
        board = Board(str(tmp_path / 'file'), is_first=True)
        for step in range(3):
            board.write_scalars(step, {'a': 1.0})
            board.flush()
    assert caplog.text.count('TensorBoard files cannot be written') == 1


def test_a_refused_start_leaves_nothing(tmp_path):
    for change in ({'batch_size': 0}, {'final_tasks': ('zzz',)}, {'scene': 'lego'}):
        config = tiny.get_config()
        config.update(change)
        with pytest.raises(UserError):
            running.run(config, None, str(tmp_path / 'run'))
        assert not (tmp_path / 'run').exists()


def test_a_run_is_trained_longer(finished, tmp_path, caplog):
    """That it ends with the same bits if it is killed meanwhile is in tests/slow/test_kill_everything.py."""
    config = tiny.get_config()
    config.num_steps, config.final_tasks = 60, ()
    shutil.copytree(finished, tmp_path / 'run')
    log.propagate = True
    with caplog.at_level(logging.INFO):
        running.run(config, None, str(tmp_path / 'run'))
    assert 'training longer: 60 steps where it was 40; the learning rate steps from 0.0002 to 0.000431' in caplog.text
    assert json.loads((tmp_path / 'run/run.json').read_text())['legs'] == [[0, 40], [40, 60]]
    assert {40, 60} <= set(Checkpoints(str(tmp_path / 'run/checkpoints')).steps())
    config.num_steps = 50
    with pytest.raises(UserError, match='a run can be trained longer, not shorter'):
        running.run(config, None, str(tmp_path / 'run'))
