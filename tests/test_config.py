import importlib
from pathlib import Path

import pytest

import configs
from configs import tiny
from nerf.config import check_same_training, resolve
from nerf.errors import UserError
from nerf.models import make_model
from nerf.train_step import check_losses

NAMES = sorted(path.stem for path in Path(configs.__file__).parent.glob('*.py') if path.stem not in ('__init__', 'default'))


@pytest.mark.parametrize('name', NAMES)
def test_every_config_is_complete(name):
    module = importlib.import_module(f'configs.{name}')
    config = resolve(module.get_config('lego'))
    assert config.scene == 'lego'
    make_model(config.model_name, config.model)
    check_losses(config.losses)
    assert f'configs/{name}.py' in module.__doc__  # the command to run it


def test_the_recipes_of_the_papers():
    from configs import mipnerf_blender, nerf_blender

    mip, nerf = resolve(mipnerf_blender.get_config()), resolve(nerf_blender.get_config())
    assert (mip.num_steps, mip.batch_size, mip.model.num_samples) == (1_000_000, 4096, 128)
    assert (mip.model.depth, mip.model.width, mip.model.view_width, mip.model.position_degree) == (8, 256, 128, 16)
    assert dict(mip.losses) == {'mse': 1.0, 'coarse_mse': 0.1}
    assert (nerf.num_steps, nerf.batch_size, nerf.model.num_coarse, nerf.model.num_fine) == (500_000, 1024, 64, 128)
    assert (nerf.data.batching, nerf.data.crop_steps, nerf.data.paper_pixels) == ('single_image', 500, True)
    assert nerf.model.density_activation == 'relu'


def test_resolve_fills_what_is_open_and_keeps_what_is_set():
    config = tiny.get_config()
    assert resolve(config).data.background == 'white'
    config.data.background = 'black'
    assert resolve(config).data.background == 'black'


@pytest.mark.parametrize(
    ('entry', 'value', 'message'),
    [
        ('scene_type', 'indoor', "unknown scene_type 'indoor': expected one of object"),
        ('data.background', 'blue', "unknown data.background 'blue': expected one of black, random, white"),
        ('num_steps', 0, 'config.num_steps = 0: expected at least 1'),
    ],
)
def test_wrong_values_are_refused_by_name(entry, value, message):
    config = tiny.get_config()
    config.update_from_flattened_dict({entry: value})
    with pytest.raises(UserError, match=message):
        resolve(config)


def test_only_what_changes_parameters_must_agree():
    old, new = tiny.get_config(), tiny.get_config()
    new.log_every, new.video.fps, new.keep_steps = 3, 7, (1, 2)
    check_same_training(resolve(old), resolve(new), 'run')
    new.optimizer.learning_rate = 1.0
    with pytest.raises(UserError, match=r'config.optimizer.learning_rate was 0.002 and is 1.0'):
        check_same_training(resolve(old), resolve(new), 'run')
