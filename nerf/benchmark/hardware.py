"""What the device at hand can do at most: matrix products, copies, and the additions that a hash grid's gradient is made of."""

import jax
import jax.numpy as jnp
import numpy as np

from nerf.benchmark import timing
from nerf.ray.structs import Array

TABLE = 2**19  # rows, as of the largest hash grids


def measure_chip(size: int = 8192, times: int = 9) -> dict[str, float]:
    """Measure the rates of large matrix products in each precision, TFLOP/s, and of a copy, GB/s read and written."""
    precisions = {'float32': 'highest', 'default': 'default', 'bfloat16': 'default'}
    figures = {}
    for name, precision in precisions.items():
        dtype = jnp.bfloat16 if name == 'bfloat16' else jnp.float32
        figures[f'{name} products, TFLOP/s'] = timing.matmul_peak(size, times, dtype, precision) / 1e12
    large = jnp.zeros((4 * size, size))
    copy = jax.jit(lambda x: x + 1)
    figures['copy, GB/s'] = 2 * large.nbytes / timing.median_seconds(lambda: copy(large), times) / 1e9
    return figures


def measure_scatter(rows: tuple[int, ...] = (2**18, 2**22), times: int = 9) -> dict[str, float]:
    """Measure milliseconds to add so many rows to a table at random places: row by row, and feature by feature."""
    figures = {}
    for count in rows:
        places = jnp.asarray(np.random.default_rng(0).integers(0, TABLE, count, dtype=np.int32))
        for features in (2, 4):
            values = jnp.ones((count, features))

            def add_rows(values: Array, places: Array = places, features: int = features) -> Array:
                return jnp.zeros((TABLE, features)).at[places].add(values)

            def add_features(values: Array, places: Array = places, features: int = features) -> Array:
                return jnp.stack([jnp.zeros(TABLE).at[places].add(values[:, i]) for i in range(features)])

            for name, add in {'rows': add_rows, 'feature by feature': add_features}.items():
                call = jax.jit(add)
                seconds = timing.median_seconds(lambda call=call, values=values: call(values), times)
                figures[f'{count} x {features}, {name}, ms'] = 1e3 * seconds
    return figures
