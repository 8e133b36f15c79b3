import jax
import jax.numpy as jnp
import numpy as np
import pytest

from configs import instant_small, mipnerf_small, nerf_small
from nerf.benchmark import timing
from nerf.benchmark.workload import Workload
from nerf.config import resolve


@pytest.fixture(autouse=True)
def hand_batched_code_broadcasts():
    with jax.numpy_rank_promotion('allow'):
        yield


@pytest.fixture(scope='module', params=[mipnerf_small, nerf_small, instant_small], ids=['mipnerf', 'nerf', 'instant'])
def work(request):
    config = request.param.get_config()
    config.batch_size = 32
    return Workload(resolve(config), width=16)


def assert_gradients_agree(work, compile):
    args = (work.state.params, *work.batch)
    lifted, batched = (compile(jax.value_and_grad(loss))(*args) for loss in (work.lifted_loss, work.hand_batched_loss))
    assert float(lifted[0]) == pytest.approx(float(batched[0]), rel=1e-5)
    for a, b in zip(*map(jax.tree.leaves, (lifted[1], batched[1])), strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5 * float(jnp.abs(b).max()) + 1e-12)


def test_lifted_and_hand_batched_gradients_agree(work):
    if work.config.model_name == 'nerf':
        pytest.skip('compiled into two programs, positions round apart, and octaves magnify that 512 times: see below')
    assert_gradients_agree(work, jax.jit)


@pytest.mark.slow
def test_lifted_and_hand_batched_gradients_agree_one_operation_at_a_time(work):
    assert_gradients_agree(work, lambda function: function)


def test_lifted_and_hand_batched_pictures_agree(work):
    args = (work.state.params, work.scene.camera(0), work.pixels.xy)
    np.testing.assert_allclose(jax.jit(work.lifted_render)(*args), jax.jit(work.hand_batched_render)(*args), atol=1e-5)


def test_both_do_the_same_products(work):
    losses = (work.lifted_loss, work.hand_batched_loss)
    lifted, batched = (timing.matmul_flops(jax.grad(loss), work.state.params, *work.batch) for loss in losses)
    assert lifted == batched > 0


def test_flops_are_counted():
    a, b = jnp.ones((3, 4)), jnp.ones((4, 5))
    assert timing.matmul_flops(jnp.dot, a, b) == 2 * 3 * 4 * 5
    repeated = lambda a, b: jax.lax.scan(lambda c, _: (c, jnp.dot(a, b)), 0.0, length=7)  # noqa: E731
    assert timing.matmul_flops(jax.jit(repeated), a, b) == 7 * 2 * 3 * 4 * 5


def test_ratio_is_above_one_where_the_first_is_faster(monkeypatch):
    clock = {'now': 0.0}
    monkeypatch.setattr(timing.time, 'perf_counter', lambda: clock['now'])

    def lasting(seconds):
        def call():
            clock['now'] += seconds

        return call

    assert timing.ratio_quartiles(lasting(2.0), lasting(3.0), pairs=4) == pytest.approx((1.5, 1.5, 1.5))
