"""One step of training: the loss of ONE pixel, lifted to a batch, and the update that follows from it."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, Int, Key

from nerf.errors import unknown
from nerf.fields.regularisers import REGULARISERS
from nerf.lifting import device_index, in_chunks, over_rays, sum_over_devices
from nerf.models.pixel import render_pixel
from nerf.ray.background import background_colour, target_colour
from nerf.ray.cameras import Camera
from nerf.ray.losses import LOSSES, squared_error
from nerf.ray.maths import split_key
from nerf.ray.photos import PHOTO_NUMBERS, Photo
from nerf.ray.structs import Pixel, RenderedPixel, Scalar
from nerf.train.state import TrainState, photo_of

Metrics = dict[str, tuple[Array, Array]]
STATE_KEY = 2**32 - 1  # folded into the key of `update_state`: no ray of a batch has this number


def check_objective(config: Any) -> None:
    """Refuse a config that names a loss, a regulariser or numbers of photos which do not exist.

    Raises:
        UserError: with the known ones.
    """
    known = {'losses': LOSSES, 'regularisers': REGULARISERS, 'photos': PHOTO_NUMBERS}
    for section, registry in known.items():
        for name in config[section]:
            if name not in registry:
                raise unknown(f'config.{section} entry', name, registry)


def pixel_terms(
    model: nn.Module,
    config: Any,
    variables: Mapping[str, Any],
    camera: Camera,
    photo: Photo | None,
    pixel: Pixel,
    key: Key[Array, ''],
    progress: Scalar,
) -> dict[str, Float[Array, '']]:
    """Compute the terms of ONE pixel: the loss weighted by `config.losses`, and the `mse` and `acc` that are reported."""
    model_key, background_key = split_key(key, 2)
    behind = background_colour(config.data.background, background_key)
    ray, levels, renderings = render_pixel(model, variables, camera, pixel.xy, behind, photo, model_key, progress)
    rendered = RenderedPixel(ray, levels, renderings, target_colour(pixel, behind), progress)
    loss = sum(weight * LOSSES[name](rendered) for name, weight in config.losses.items())
    return {'loss': loss, 'mse': squared_error(renderings[-1].rgb, rendered.target), 'acc': renderings[-1].acc}


def make_train_step(
    model: nn.Module, optimizer: optax.GradientTransformation, config: Any
) -> Callable[[TrainState, Pixel, Camera], tuple[TrainState, Metrics]]:
    """Make the step of ONE device, to be lifted with `over_devices`.

    It maps (state, pixels [rays], cameras [all]) to the new state and this device's metrics as pairs (sum of weighted
    terms, sum of weights): only sums of these over devices are means over the global batch, however uneven the weights.
    A step whose loss or gradient is not finite leaves parameters and optimiser as they are, and is counted.

    Args:
        model: see `nerf.models.protocol.Model`.
        optimizer: see `nerf.train.optimizer`.
        config: resolved; of it `losses`, `regularisers`, `data.background`, `num_steps`, `seed` and `remat_rays`: with the
            last, only so many rays are in memory at once, and the backward pass computes them again, chunk by chunk.
    """

    def step(state: TrainState, pixels: Pixel, cameras: Camera) -> tuple[TrainState, Metrics]:
        rays = pixels.camera.shape[0]
        step_key = jax.random.fold_in(jax.random.key(config.seed), state.step)
        numbers = device_index() * rays + jnp.arange(rays)
        progress = state.step / config.num_steps

        def terms_of(trainable: Any, pixel: Pixel, number: Int[Array, '']) -> dict[str, Array]:
            photos = {name: table for name, table in trainable.items() if name != 'model'}
            return pixel_terms(
                model,
                config,
                {'params': trainable['model'], 'state': state.state},
                cameras.at(pixel.camera),
                photo_of(photos, pixel.camera),
                pixel,
                jax.random.fold_in(step_key, number),
                progress,
            )

        def total(trainable: Any) -> tuple[Array, dict[str, Array]]:
            one = functools.partial(terms_of, trainable)
            lifted = in_chunks(jax.checkpoint(one), config.remat_rays) if config.remat_rays else over_rays(one)
            terms = lifted(pixels, numbers)
            sums = {name: jnp.sum(pixels.weight * term) for name, term in terms.items()}
            # A sum over devices follows, divided by the sum of the weights: so the regularisers count once.
            weight = jnp.sum(pixels.weight)
            for name, share in config.regularisers.items():
                sums['loss'] += weight * share * REGULARISERS[name](trainable['model'])
            return sums['loss'], sums

        gradient, sums = jax.grad(total, has_aux=True)(state.trainable)
        weight = jnp.sum(pixels.weight)
        global_gradient, global_weight = sum_over_devices((gradient, weight))
        gradient = jax.tree.map(lambda g: g / global_weight, global_gradient)
        metrics = {name: (term, weight) for name, term in sums.items()}
        new = update(optimizer, state, gradient)
        if state.state:
            key = jax.random.fold_in(step_key, STATE_KEY)
            _, kept = model.apply(new.variables, key, progress, method='update_state', mutable=['state'])
            new = new.replace(state=kept['state'])
        return new, metrics

    return step


def update(optimizer: optax.GradientTransformation, state: TrainState, gradient: Any) -> TrainState:
    """Return the state after one step along a gradient, or, where that is not finite, the same with the step counted."""
    norm = optax.tree.norm(gradient)
    updates, opt_state = optimizer.update(gradient, state.opt_state, state.trainable)
    trainable = optax.apply_updates(state.trainable, updates)
    is_finite = jnp.isfinite(norm)

    def keep(new: Array, old: Array) -> Array:
        return jnp.where(is_finite, new, old)

    skipped = 1 - is_finite.astype(jnp.int32)
    trainable = jax.tree.map(keep, trainable, state.trainable)
    return state.replace(
        step=state.step + 1,
        params=trainable.pop('model'),
        photos=trainable,
        opt_state=jax.tree.map(keep, opt_state, state.opt_state),
        skipped=state.skipped + skipped,
        skipped_in_row=(state.skipped_in_row + skipped) * skipped,
    )
