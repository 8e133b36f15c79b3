import re
import types

import jax
import numpy as np
import pytest

from configs import instant_small, mipnerf360_small, mipnerf_small, nerf_small
from nerf.benchmark import ahead, chips
from nerf.benchmark.chips import GIB, Chip
from nerf.config import resolve
from nerf.errors import UserError

CHIP = Chip(flops=2e12, bandwidth=1e9, memory=GIB)


def small(module, **options):
    config = module.get_config()
    config.update({'batch_size': 64, **options})
    return resolve(config)


def compiled(temporaries, arguments, costs):
    memory = types.SimpleNamespace(temp_size_in_bytes=temporaries, argument_size_in_bytes=arguments)
    return types.SimpleNamespace(memory_analysis=lambda: memory, cost_analysis=lambda: costs)


def test_what_binds_and_whether_it_fits():
    found = ahead.limits(compiled(GIB // 2, GIB // 4, {'bytes accessed': 1.5e6}), 7, 2, 4 * 10**9, CHIP)
    assert (found['products, ms'], found['memory, ms at most']) == (pytest.approx(2.0), pytest.approx(3.0))
    assert (found['binds'], found['fits']) == ('memory', 'yes: 75.0% of 1 GiB')
    found = ahead.limits(compiled(GIB // 2, GIB // 2, [{'bytes accessed': 1e6}]), 7, 1, 4 * 10**9, CHIP)
    assert (found['binds'], found['fits']) == ('products', 'NO: 100.0% of 1 GiB')
    assert 'binds' not in ahead.limits(compiled(0, 0, None), 7, 1, 1, CHIP)


@pytest.mark.parametrize('module', [nerf_small, mipnerf_small, mipnerf360_small, instant_small])
def test_training_lowers_for_accelerators_with_flat_products(module):
    step, arguments = ahead.Programs(small(module), 1, 'tpu').training()
    lifted = jax.jit(jax.vmap(step, axis_name='devices'))
    text = lifted.trace(*arguments).lower(lowering_platforms=('tpu', 'cuda')).as_text()
    # Those of poses are exact, and small.
    products = [line for line in text.splitlines() if 'stablehlo.dot_general' in line and 'HIGHEST' not in line]
    assert len(products) > 5
    # One matrix product for all rays and samples of a device, in the forward pass and in its derivative: no axis of its own for
    # rays, beside that of devices.
    axes = [len(shape.split('x')) for line in products for shape in re.findall(r'tensor<([\dx]+)xf32>', line)]
    assert set(axes) == {3}


def test_one_compiled_program_of_each_kind_on_the_devices_at_hand():
    programs = ahead.Programs(small(instant_small), 1, 'tpu')
    step, (variables, camera, xys) = programs.rendering(16)
    assert xys.shape == (1, 16, 2)
    assert jax.eval_shape(jax.vmap(step), variables, camera, xys).shape == (1, 16, 3)
    step, (state, pixels, cameras) = programs.training()
    assert pixels.xy.shape == (1, 64, 2)
    assert ahead.Programs(small(instant_small, ray_chunk=10), 1, 'tpu').chunks == 7
    new, _ = jax.eval_shape(jax.vmap(step, axis_name='devices'), state, pixels, cameras)
    assert jax.tree.map(np.shape, new) == jax.tree.map(np.shape, state)


def test_a_batch_that_cannot_be_shared_is_refused():
    with pytest.raises(UserError, match=r'^config.batch_size = 64: expected a multiple of the 3 devices$'):
        ahead.Programs(small(nerf_small), 3, 'tpu')


def test_devices_that_are_not_known(monkeypatch):
    monkeypatch.setattr(chips, 'is_missing', lambda platform: True)
    with pytest.raises(UserError, match=r"libtpu is not installed, .* pip install -e '\.\[aot-tpu\]'"):
        chips.describe_devices('tpu', 'v5e:9x9x9')
    with pytest.raises(
        UserError, match=r'^--topology=h900: found no such description of a GPU, expected h100 or a .txtpb file$'
    ):
        chips.describe_devices('gpu', 'h900')
    with pytest.raises(UserError, match='the limits of cpu are not known'):
        chips.chip_of(jax.devices()[0])
