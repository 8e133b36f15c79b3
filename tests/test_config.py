import importlib
from pathlib import Path

import pytest

import configs
from configs import default, mipnerf360, tiny
from nerf.config import check_same_training, resolve
from nerf.errors import UserError
from nerf.models import MODELS, make_model
from nerf.scene_types import SCENE_TYPES
from nerf.train.step import check_objective

NAMES = sorted(path.stem for path in Path(configs.__file__).parent.glob('*.py') if path.stem not in ('__init__', 'default'))


@pytest.mark.parametrize('name', NAMES)
def test_every_config_is_complete(name):
    module = importlib.import_module(f'configs.{name}')
    config = resolve(module.get_config('lego'))
    assert config.scene == 'lego'
    make_model(config.model_name, config.model)
    check_objective(config)
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


DECIDED = {
    'object': ('linear', False, False, 'white'),
    'forward_facing': ('linear', False, True, 'black'),
    'unbounded': ('disparity', True, True, 'black'),
}


@pytest.mark.parametrize('scene_type', SCENE_TYPES)
@pytest.mark.parametrize('name', MODELS)
def test_scene_type_decides_what_the_model_has_and_what_is_behind(name, scene_type):
    config = default.get_config()
    config.model_name, config.model, config.scene_type = name, default.model_config(name), scene_type
    found = resolve(config)
    spacing, contract, opaque, background = DECIDED[scene_type]
    assert found.data.background == background
    decided = {'spacing': spacing, 'contract': contract, 'opaque_background': opaque}
    model = make_model(name, found.model)
    for field in decided.keys() & found.model.keys():
        assert found.model[field] == getattr(model, field) == decided[field]
    assert 'spacing' in found.model


def test_scene_type_leaves_alone_what_the_user_set():
    config = mipnerf360.get_config()
    config.update_from_flattened_dict({'model.contract': False, 'model.spacing': 'linear', 'data.background': 'random'})
    found = resolve(config)
    assert (found.model.contract, found.model.spacing, found.data.background) == (False, 'linear', 'random')
    assert found.model.opaque_background is True
    config.scene_type = 'object'
    config.model.opaque_background = True
    assert resolve(config).model.opaque_background is True


def test_the_recipe_of_mipnerf360():
    found = resolve(mipnerf360.get_config())
    assert (found.num_steps, found.batch_size, found.data.factor) == (250_000, 16384, 4)
    options = found.optimizer
    assert (options.learning_rate, options.final_learning_rate, options.warmup_steps) == (2e-3, 2e-5, 512)
    assert (options.adam_eps, options.clip_norm) == (1e-6, 1e-3)
    model = found.model
    assert (model.num_proposal, model.num_samples, model.depth, model.width) == (64, 32, 8, 1024)
    assert (model.proposal_depth, model.proposal_width, model.position_degree, model.view_degree) == (4, 256, 12, 4)
    assert found.losses.distortion == 0.01
    assert (found.data.near, found.data.far) == (0.2, 1e6)


@pytest.mark.parametrize(
    ('entry', 'value', 'message'),
    [
        ('scene_type', 'indoor', "unknown scene_type 'indoor': expected one of forward_facing, object, unbounded"),
        ('data.background', 'blue', "unknown data.background 'blue': expected one of black, random, white"),
        ('num_steps', 0, 'config.num_steps = 0: expected a whole number from 1'),
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
