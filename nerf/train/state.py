"""All that a run keeps from step to step, besides the data."""

import typing
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import linen as nn
from flax import struct
from jaxtyping import Array, Int

from nerf.ray.cameras import Camera, cast
from nerf.ray.photos import PHOTO_NUMBERS


@typing.no_type_check
@struct.dataclass
class TrainState:
    """All that a run keeps from step to step, besides the data.

    Attributes:
        step: steps done, [], int32.
        params: of the model.
        state: what the model keeps without training it (its Linen collection `state`).
        photos: the tables of numbers of each photo by name, [num_photos, count], see `nerf.ray.photos`.
        opt_state: of the optimiser.
        skipped: steps whose loss or gradient was not finite, so that the parameters were left alone, [], int32.
        skipped_in_row: how many of the latest steps were such, [], int32.
    """

    step: Array
    params: Any
    state: Any
    photos: dict[str, Array]
    opt_state: optax.OptState
    skipped: Array
    skipped_in_row: Array

    @property
    def variables(self) -> dict[str, Any]:
        """The model's Linen collections."""
        return {'params': self.params, 'state': self.state}

    @property
    def trainable(self) -> dict[str, Any]:
        """All that is trained, by the names of the optimiser's groups."""
        return {'model': self.params, **self.photos}


def init_state(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    cameras: Camera,
    seed: int,
    photo_names: tuple[str, ...] = (),
) -> TrainState:
    """Return the state before the first step.

    Args:
        model: see `nerf.models.protocol.Model`.
        optimizer: of `TrainState.trainable`, see `nerf.train.optimizer`.
        cameras: of all photos, stacked; the first provides a ray of the right shape.
        seed: of the parameters.
        photo_names: of `nerf.ray.photos.PHOTO_NUMBERS` that are trained.
    """
    num_photos = np.shape(cameras.width)[0]
    photos = {
        name: jnp.full((num_photos, PHOTO_NUMBERS[name].count), PHOTO_NUMBERS[name].start, jnp.float32) for name in photo_names
    }
    ray = cast(jax.tree.map(lambda field: jnp.asarray(field[0]), cameras), jnp.zeros(2))
    photo = {name: table[0] for name, table in photos.items()} or None
    variables = jax.jit(model.init)(jax.random.key(seed), ray, photo=photo)
    zero = jnp.zeros((), jnp.int32)
    state = TrainState(zero, variables['params'], variables.get('state', {}), photos, None, zero, zero)
    return state.replace(opt_state=optimizer.init(state.trainable))


def photo_of(photos: dict[str, Array], camera: Int[Array, '']) -> dict[str, Array] | None:
    """Return the numbers of ONE photo by name, or None if none are trained."""
    return {name: table[camera] for name, table in photos.items()} or None
