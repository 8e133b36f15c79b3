import logging

from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.plugins.hparams.plugin_data_pb2 import HParamsPluginData
from tensorboard.util.tensor_util import make_ndarray

from configs import mipnerf360, tiny
from nerf.config import resolve
from nerf.train import events


def read(folder):
    accumulator = EventAccumulator(str(folder), size_guidance={'tensors': 0})
    accumulator.Reload()
    return accumulator


def test_numbers_are_read_back(tmp_path):
    events.write_scalars(str(tmp_path), 40, {'test/psnr': 29.5, 'test/ssim': float('nan')})
    [found] = read(tmp_path).Tensors('test/psnr')
    assert (found.step, make_ndarray(found.tensor_proto)) == (40, 29.5)
    assert read(tmp_path).Tags()['tensors'] == ['test/psnr', 'test/ssim']


def test_a_run_is_listed_by_its_folder_with_few_entries(tmp_path):
    run = tmp_path / 'logs/my_run'
    run.mkdir(parents=True)
    events.write_hyperparameters(str(run), resolve(tiny.get_config()))
    metadata = read(run).summary_metadata['_hparams_/session_start_info'].plugin_data.content
    start = HParamsPluginData.FromString(metadata).session_start_info
    assert start.group_name == 'my_run'
    found = {name: value.string_value or value.number_value for name, value in start.hparams.items()}
    assert found['model_name'] == 'mipnerf'
    assert found['optimizer.learning_rate'] == 0.002
    assert found['losses.mse'] == 1
    assert found['model.num_samples'] == 8
    assert 'model.use_viewdirs' not in found  # as by default
    assert not any(name.startswith(('log_every', 'video')) for name in found)
    assert len(found) < 20


def test_every_model_has_the_entries_that_tell_runs_apart():
    found = events.hyperparameters(resolve(mipnerf360.get_config()))
    assert found['losses.distortion'] == 0.01
    assert found['data.factor'] == 4
    assert 'data.width' not in found


def test_a_folder_that_cannot_be_written_is_a_warning(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(logging.getLogger('nerf'), 'propagate', True)
    events.write_scalars(str(tmp_path / 'gone'), 1, {'a': 1.0})
    assert 'TensorBoard gets no such numbers' in caplog.text


def test_without_tensorboard_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.setattr(events.importlib.util, 'find_spec', lambda name: None)
    events.write_scalars(str(tmp_path), 1, {'a': 1.0})
    assert not list(tmp_path.iterdir())


def test_the_file_comes_before_that_of_a_loop_begun_next(tmp_path):
    """TensorBoard reads files by name, and an earlier one no more once there is a later one."""
    from nerf.train.board import Board

    events.write_hyperparameters(str(tmp_path), resolve(tiny.get_config()))
    [ours] = tmp_path.iterdir()
    board = Board(str(tmp_path), is_first=True)
    board.write_scalars(1, {'train/psnr': 9.0})
    board.flush()
    assert sorted(tmp_path.glob('*tfevents*'))[0] == ours
    assert len(list(tmp_path.glob('*tfevents*'))) == 2
    assert {'train/psnr', '_hparams_/session_start_info'} <= {*read(tmp_path).summary_metadata}
