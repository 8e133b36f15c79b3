"""Timing that survives a noisy machine: interleaved pairs, medians, quartiles; and counting what is computed."""

import functools
import time
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

Call = Callable[[], Any]


def seconds(call: Call) -> float:
    """Measure how long one call takes until its results are ready."""
    start = time.perf_counter()
    jax.block_until_ready(call())
    return time.perf_counter() - start


def median_seconds(call: Call, times: int) -> float:
    """Measure the median of several calls, after one that may compile."""
    seconds(call)
    return float(np.median([seconds(call) for _ in range(times)]))


def medians_of_rounds(calls: Mapping[str, Call], times: int) -> dict[str, float]:
    """Measure the median of each of several calls, taken in turns, so that a slow moment slows all of them."""
    rounds = [[seconds(call) for call in calls.values()] for _ in range(times + 1)]
    return dict(zip(calls, np.median(rounds[1:], axis=0).tolist(), strict=True))


def ratio_quartiles(one: Call, other: Call, pairs: int) -> tuple[float, float, float]:
    """Quartiles of time(other) / time(one) over interleaved pairs whose order alternates: above 1, `one` is faster."""
    for call in (one, other):
        seconds(call)
        seconds(call)
    ratios = []
    for i in range(pairs):
        if i % 2:
            second, first = seconds(other), seconds(one)
        else:
            first, second = seconds(one), seconds(other)
        ratios.append(second / first)
    return tuple(float(q) for q in np.quantile(ratios, [0.25, 0.5, 0.75]))


def matmul_peak(size: int = 2048, times: int = 9, dtype: Any = jnp.float32, precision: str = 'default') -> float:
    """Measure the machine's rate at a large matrix product, FLOP/s."""
    a = jax.random.normal(jax.random.key(0), (size, size), dtype)
    product = jax.jit(functools.partial(jnp.dot, precision=precision))
    return 2 * size**3 / median_seconds(lambda: product(a, a), times)


def matmul_flops(function: Callable, *args: Any) -> int:
    """Count the floating-point operations of all matrix products of `function(*args)` (2 per multiply and add)."""
    return _flops(jax.make_jaxpr(function)(*args).jaxpr)


def _flops(jaxpr: Any) -> int:
    total = 0
    for equation in jaxpr.eqns:
        name = equation.primitive.name
        if name == 'flat_dot':
            total += 2 * equation.invars[0].aval.size * equation.outvars[0].aval.shape[-1]
        elif name == 'flat_outer':
            total += 2 * equation.invars[0].aval.size * equation.invars[1].aval.shape[-1]
        elif name == 'dot_general':
            (contracted, _), _ = equation.params['dimension_numbers']
            shape = equation.invars[0].aval.shape
            total += 2 * equation.outvars[0].aval.size * int(np.prod([shape[axis] for axis in contracted]))
        repeats = equation.params.get('length', 1) if name == 'scan' else 1
        for value in equation.params.values():
            inner = getattr(value, 'jaxpr', value)
            if hasattr(inner, 'eqns'):
                total += repeats * _flops(inner)
    return total
