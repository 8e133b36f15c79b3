import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import mipnerf360_small, nerf_small, tiny
from nerf.config import resolve
from nerf.data import procedural
from nerf.debug_ray import find_pixel, stages
from nerf.errors import UserError
from nerf.models import make_model
from nerf.ray import compositing
from nerf.ray.cameras import cast
from nerf.train.optimizer import make_optimizer
from nerf.train.state import init_state


@pytest.fixture(scope='module')
def scene():
    return procedural.load(8)


def printed(scene, module, asked):
    config = resolve(module.get_config())
    model = make_model(config.model_name, config.model)
    state = init_state(model, make_optimizer(config), scene.cameras, 0)
    variables = jax.tree.map(np.asarray, state.variables)  # as a checkpoint holds them
    lines = list(stages(model, config, variables, {}, scene, find_pixel(scene, asked), 0))
    return lines, model, variables, config


def test_the_numbers_of_a_ray_are_those_that_rendering_has(scene):
    lines, model, variables, _ = printed(scene, tiny, 'test_r_0,4,5')
    camera = jax.tree.map(jnp.asarray, scene.camera(scene.names.index('test_r_0')))
    ray = cast(camera, jnp.array([4.5, 5.5]))
    level = model.apply(jax.tree.map(jnp.asarray, variables), ray)[-1]
    rendering = compositing.composite(level, ray, jnp.ones(3))
    at = lines.index('level fine: composited over white')
    assert lines[at + 1].split()[0] == 'rgb'
    assert [float(x) for x in lines[at + 1].split()[-3:]] == pytest.approx(np.asarray(rendering.rgb), rel=1e-3)
    weights = next(line for line in lines[lines.index('level fine: samples, densities, weights') :] if 'weights  ' in line)
    assert '[8]' in weights
    low, high = (float(x) for x in re.search(r'(\S+) \.\. (\S+)', weights).groups())
    assert (low, high) == pytest.approx((float(level.weights.min()), float(level.weights.max())), rel=1e-3)
    assert any(line.startswith(f'  most light stops in interval {int(np.argmax(level.weights))} of 8') for line in lines)
    truth = scene.image(scene.names.index('test_r_0'))[5, 4].astype(float)
    target = next(line for line in lines if line.startswith('  target'))
    assert [float(x) for x in target.split()[-3:]] == pytest.approx((truth[:3] + 255 - truth[3]) / 255, rel=1e-3)


@pytest.mark.parametrize('module', [pytest.param(nerf_small, marks=pytest.mark.slow), mipnerf360_small])
def test_each_model_is_shown_level_by_level(scene, module):
    lines, model, _, config = printed(scene, module, '0,3,3')
    for info in model.LEVELS:
        assert f'level {info.name}: samples, densities, weights' in lines
    assert sum(' x ' in line for line in lines) == len(config.losses)
    assert not any('NOT FINITE' in line for line in lines)


@pytest.mark.parametrize(
    ('asked', 'message'),
    [
        ('0,1', 'expected CAMERA,X,Y'),
        ('0,a,b', 'expected CAMERA,X,Y'),
        ('nobody,1,1', "no photo 'nobody'"),
        ('999,1,1', "no photo '999'"),
        ('0,8,1', 'outside of the photo, expected x below 8 and y below 8'),
        ('0,nan,1', 'outside of the photo'),
    ],
)
def test_what_is_not_there_is_refused(scene, asked, message):
    with pytest.raises(UserError, match=message):
        find_pixel(scene, asked)
