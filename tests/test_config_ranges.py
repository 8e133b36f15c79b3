import importlib
import math
from pathlib import Path

import pytest

from configs import instant_360, nerf_blender, tiny
from nerf.config import resolve
from nerf.config_ranges import RANGES, _entry
from nerf.errors import UserError

CONFIGS = sorted(path.stem for path in (Path(__file__).parents[1] / 'configs').glob('[a-z]*.py') if path.stem != 'default')


@pytest.mark.parametrize('name', CONFIGS)
def test_every_config_is_in_its_ranges_and_every_range_is_of_an_entry(name):
    config = resolve(importlib.import_module(f'configs.{name}').get_config())
    for entry, allowed in RANGES.items():
        assert allowed.holds(_entry(config, entry)), entry


def set_entry(config, dotted, value):
    *sections, name = dotted.split('.')
    for section in sections:
        config = config[section]
    with config.ignore_type():
        config[name] = value


@pytest.mark.parametrize(
    ('entry', 'value'),
    [
        *[(name, -1) for name in RANGES],
        *[(name, math.nan) for name in RANGES],
        *[(name, True) for name in ('num_steps', 'data.factor')],
        *[(name, None) for name in RANGES if not RANGES[name].is_optional],
        *[(name, 0) for name in ('num_steps', 'video.num_frames', 'optimizer.learning_rate', 'data.factor', 'ray_chunk')],
        *[('seed', 2**32), ('data.width', 10**6), ('video.fps', 10**6), ('batch_size', 2**31), ('keep_steps', (0,))],
        *[('model.num_samples', 0), ('model.width', -1), ('model.depth', 10**9), ('model.position_degree', -1)],
        *[('losses.mse', math.inf), ('losses.mse', -1.0), ('data.far', 1e31), ('optimizer.clip_norm', 0.0)],
    ],
)
def test_a_number_that_cannot_be_is_refused_with_its_range(entry, value):
    config = tiny.get_config()
    set_entry(config, entry, value)
    with pytest.raises(UserError, match=rf'^config\.{entry} = .*: expected a (whole )?number (from|above) \S+ to \S+'):
        resolve(config)


def test_near_lies_before_far():
    config = instant_360.get_config()
    config.data.near, config.data.far = 2000.0, 1000.0
    with pytest.raises(UserError, match=r'config.data.near = 2000, config.data.far = 1000: expected near before far'):
        resolve(config)


def test_what_is_0_by_default_may_be_0():
    config = nerf_blender.get_config()
    config.model.density_noise = 0.0
    config.eval_every = 0
    resolve(config)
