"""Where the time of a training step goes."""

import functools
import itertools
import time
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from flax import linen as nn

from nerf import lifting
from nerf.benchmark import timing
from nerf.benchmark.workload import Workload
from nerf.data.feed.batches import Batches, plain_batches
from nerf.fields.layers import Dense
from nerf.ray.cameras import cast
from nerf.ray.structs import Array
from nerf.train.step import update


def without_network(next_call: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext) -> Any:
    """Replace a Dense layer by zeros: the computation of its inputs is left out too."""
    if isinstance(context.module, Dense):
        return jnp.zeros(context.module.features)
    return next_call(*args, **kwargs)


def with_encoding_only(next_call: Callable, args: tuple, kwargs: dict, context: nn.module.InterceptorContext) -> Any:
    """Replace a Dense layer by the sum of its inputs: their computation stays."""
    if isinstance(context.module, Dense):
        return jnp.full(context.module.features, jnp.sum(args[0]))
    return next_call(*args, **kwargs)


def breakdown(work: Workload, times: int) -> dict[str, float]:
    """Milliseconds of each part of a step, up to the backward pass as the difference between a prefix of it and the next.

    The whole step, compiled as one program and computed in chunks of rays, may be faster than its parts together.
    """
    params = work.state.params

    def weights(params: Any) -> Array:
        def one(pixel: Any, key: Array) -> list:
            levels = work.model.apply({'params': params}, cast(work.cameras.at(pixel.camera), pixel.xy), key)
            return [(level.weights, level.rgb) for level in levels]

        return lifting.over_rays(one)(work.pixels, work.keys)

    def intercepted(interceptor: Callable) -> Callable[[Any], Any]:
        def call(params: Any) -> Any:
            with nn.intercept_methods(interceptor):
                return weights(params)

        return call

    def rays(params: Any) -> Any:
        del params
        return lifting.over_rays(lambda pixel: cast(work.cameras.at(pixel.camera), pixel.xy))(work.pixels)

    def loss(params: Any) -> Array:
        return work.lifted_loss(params, *work.batch)

    prefixes = {
        'cast': rays,
        'sample': intercepted(without_network),
        'encode or look up': intercepted(with_encoding_only),
        'network': weights,
        'composite and loss': loss,
        'backward': jax.grad(loss),
    }
    gradient = jax.jit(jax.grad(loss))(params)
    optimiser = jax.jit(lambda state, gradient: update(work.optimizer, state, {'model': gradient}))
    calls = {name: functools.partial(jax.jit(prefix), params) for name, prefix in prefixes.items()}
    calls |= {'optimiser': functools.partial(optimiser, work.state, gradient), 'whole step': work.training(work.lifted_loss)}
    totals = timing.medians_of_rounds(calls, times)
    before = [0.0, *totals.values()]
    spent = {name: 1e3 * (totals[name] - before[i]) for i, name in enumerate(prefixes)}
    spent |= {name: 1e3 * totals[name] for name in ('optimiser', 'whole step')}
    return spent | {'making a batch': 1e3 * batch_seconds(work, times)}


def batch_seconds(work: Workload, times: int) -> float:
    """Seconds to make one batch on the host, which `tf.data` does while the device works."""
    batches = plain_batches(work.scene, Batches(work.config.seed, work.config.batch_size, work.config.data.batching), 0)
    started = time.perf_counter()
    for _ in itertools.islice(batches, times):
        pass
    return (time.perf_counter() - started) / times
