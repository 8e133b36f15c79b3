"""Everything a run needs to go on, besides the data."""

from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from flax import struct

from nerf.ray.cameras import Camera, cast
from nerf.ray.structs import Array


@struct.dataclass
class TrainState:
    """Everything a run needs to go on, besides the data.

    Attributes:
        step: steps done, [], int32.
        params: of the model.
        opt_state: of the optimiser.
        skipped: steps whose loss or gradient was not finite, so that the parameters were left alone, [], int32.
        skipped_in_row: how many of the latest steps were such, [], int32.
    """

    step: Array
    params: Any
    opt_state: optax.OptState
    skipped: Array
    skipped_in_row: Array


def init_state(model: nn.Module, optimizer: optax.GradientTransformation, camera: Camera, seed: int) -> TrainState:
    """The state before the first step; `camera` (any one) only provides a ray of the right shape."""
    ray = cast(jax.tree.map(jnp.asarray, camera), jnp.zeros(2))
    params = jax.jit(model.init)(jax.random.key(seed), ray)['params']
    zero = jnp.zeros((), jnp.int32)
    return TrainState(step=zero, params=params, opt_state=optimizer.init(params), skipped=zero, skipped_in_row=zero)
