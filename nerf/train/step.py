"""One step of training: the loss of ONE pixel, lifted to a batch, and the update that follows from it."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn

from nerf.errors import unknown
from nerf.lifting import device_index, in_chunks, over_rays, sum_over_devices
from nerf.ray.background import background_colour, target_colour
from nerf.ray.cameras import Camera, cast
from nerf.ray.compositing import composite
from nerf.ray.losses import LOSSES, squared_error
from nerf.ray.maths import split_key
from nerf.ray.structs import Array, Pixel
from nerf.train.state import TrainState

Metrics = dict[str, tuple[Array, Array]]


def check_losses(losses: Mapping[str, float]) -> None:
    """Refuse a config that weights a loss which does not exist.

    Raises:
        UserError: with the known losses.
    """
    for name in losses:
        if name not in LOSSES:
            raise unknown('config.losses entry', name, LOSSES)


def pixel_terms(
    model: nn.Module,
    losses: Mapping[str, float],
    background: str,
    params: Any,
    camera: Camera,
    pixel: Pixel,
    key: Array,
    progress: Array,
) -> dict[str, Array]:
    """What ONE pixel contributes, each []: the weighted `loss`, and the `mse` and `acc` that are reported."""
    model_key, background_key = split_key(key, 2)
    behind = background_colour(background, background_key)
    ray = cast(camera, pixel.xy)
    levels = model.apply({'params': params}, ray, model_key, progress)
    renderings = [composite(level, ray, behind) for level in levels]
    target = target_colour(pixel, behind)
    loss = sum(weight * LOSSES[name](levels, renderings, target) for name, weight in losses.items())
    return {'loss': loss, 'mse': squared_error(renderings[-1].rgb, target), 'acc': renderings[-1].acc}


def make_train_step(
    model: nn.Module,
    optimizer: optax.GradientTransformation,
    losses: Mapping[str, float],
    background: str,
    num_steps: int,
    seed: int,
    remat_rays: int | None = None,
) -> Callable[[TrainState, Pixel, Camera], tuple[TrainState, Metrics]]:
    """The step of ONE device, to be lifted with `over_devices`.

    It maps (state, pixels [rays], cameras [all]) to the new state and this device's metrics as pairs (sum of weighted
    terms, sum of weights): only sums of these over devices are means over the global batch, however uneven the weights.
    A step whose loss or gradient is not finite leaves parameters and optimiser as they are, and is counted.
    With `remat_rays`, only so many rays are in memory at once: the backward pass computes them again, chunk by chunk.
    """

    def step(state: TrainState, pixels: Pixel, cameras: Camera) -> tuple[TrainState, Metrics]:
        rays = pixels.camera.shape[0]
        step_key = jax.random.fold_in(jax.random.key(seed), state.step)
        numbers = device_index() * rays + jnp.arange(rays)
        progress = state.step / num_steps

        def terms_of(params: Any, pixel: Pixel, number: Array) -> dict[str, Array]:
            camera = jax.tree.map(lambda field: field[pixel.camera], cameras)
            key = jax.random.fold_in(step_key, number)
            return pixel_terms(model, losses, background, params, camera, pixel, key, progress)

        def total(params: Any) -> tuple[Array, dict[str, Array]]:
            one = functools.partial(terms_of, params)
            lifted = in_chunks(jax.checkpoint(one), remat_rays) if remat_rays else over_rays(one)
            terms = lifted(pixels, numbers)
            sums = {name: jnp.sum(pixels.weight * term) for name, term in terms.items()}
            return sums['loss'], sums

        gradient, sums = jax.grad(total, has_aux=True)(state.params)
        weight = jnp.sum(pixels.weight)
        global_gradient, global_weight = sum_over_devices((gradient, weight))
        gradient = jax.tree.map(lambda g: g / global_weight, global_gradient)
        metrics = {name: (term, weight) for name, term in sums.items()}
        return update(optimizer, state, gradient), metrics

    return step


def update(optimizer: optax.GradientTransformation, state: TrainState, gradient: Any) -> TrainState:
    """The state after one step along a gradient, or, where that is not finite, the same state with the step counted."""
    norm = optax.tree.norm(gradient)
    updates, opt_state = optimizer.update(gradient, state.opt_state, state.params)
    params = optax.apply_updates(state.params, updates)
    is_finite = jnp.isfinite(norm)

    def keep(new: Array, old: Array) -> Array:
        return jnp.where(is_finite, new, old)

    skipped = 1 - is_finite.astype(jnp.int32)
    return TrainState(
        step=state.step + 1,
        params=jax.tree.map(keep, params, state.params),
        opt_state=jax.tree.map(keep, opt_state, state.opt_state),
        skipped=state.skipped + skipped,
        skipped_in_row=(state.skipped_in_row + skipped) * skipped,
    )
