"""One step of training: the loss of ONE pixel, lifted to a batch, and the update that follows from it."""

import functools
import math
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import optax
from flax import linen as nn
from jaxtyping import Array, Float, Int, Key

from nerf.errors import unknown
from nerf.fields.regularisers import REGULARISERS
from nerf.lifting import device_index, over_rays, sum_over_chunks, sum_over_devices
from nerf.models.pixel import render_pixel
from nerf.ray.background import background_colour, target_colour
from nerf.ray.cameras import Camera
from nerf.ray.losses import LOSSES, squared_error
from nerf.ray.maths import split_key
from nerf.ray.photos import PHOTO_NUMBERS, Photo
from nerf.ray.structs import Pixel, RenderedPixel, Scalar
from nerf.train.state import TrainState, photo_of

Metrics = dict[str, tuple[Array, Array]]
# Of one layer, for all rays of a chunk, by backend (found by trying; for TPUs by compiling ahead of time); else 2^27.
ACTIVATIONS = {'cpu': 2**20, 'tpu': 2**23}
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


def default_ray_chunk(model: nn.Module, params: Any, backend: str | None = None) -> int:
    """Return the rays whose gradient is computed at once on each device: a power of two, by backend and model.

    So many that one layer's activations have `ACTIVATIONS` numbers, which stay in the cache of a CPU or the fast memory of a
    TPU, and fill a GPU without filling its memory; but no fewer than have as many numbers as there are parameters, since the
    gradient by these, which is long where there are large hash tables, is added up once per chunk.
    """
    shapes = [jnp.shape(leaf) for leaf in jax.tree.leaves(params)]
    samples = sum(getattr(model, level.count) for level in model.LEVELS)
    widest = max((shape[-1] for shape in shapes if len(shape) > 1), default=1)
    numbers = max(ACTIVATIONS.get(backend or jax.default_backend(), 2**27), sum(map(math.prod, shapes)))
    return 2 ** max(0, round(math.log2(numbers / (samples * widest))))


def regularise(weights: Any, params: Any) -> Float[Array, '']:
    """Compute the sum of the regularisers of a model's parameters, each times its weight; 0 without any."""
    return sum((weight * REGULARISERS[name](params) for name, weight in weights.items()), jnp.zeros(()))


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
        config: resolved; of it `losses`, `regularisers`, `data.background`, `num_steps`, `seed` and `ray_chunk`: the rays whose
            gradient is computed at once, for any number of which the step is the same up to rounding.
    """

    def step(state: TrainState, pixels: Pixel, cameras: Camera) -> tuple[TrainState, Metrics]:
        rays = pixels.camera.shape[0]
        step_key = jax.random.fold_in(jax.random.key(config.seed), state.step)
        numbers = device_index() * rays + jnp.arange(rays)
        progress = state.step / config.num_steps

        def terms_of(trainable: Any, pixel: Pixel, number: Int[Array, '']) -> dict[str, Array]:
            photos = {name: table for name, table in trainable.items() if name != 'model'}
            terms = pixel_terms(
                model,
                config,
                {'params': trainable['model'], 'state': state.state},
                cameras.at(pixel.camera),
                photo_of(photos, pixel.camera),
                pixel,
                jax.random.fold_in(step_key, number),
                progress,
            )
            return {name: pixel.weight * term for name, term in terms.items()}

        def sums_of(pixels: Pixel, numbers: Int[Array, 'rays']) -> tuple[Any, dict[str, Array]]:
            """Gradient of the sum of the losses of some pixels, and the sums of their terms."""

            def total(trainable: Any) -> tuple[Array, dict[str, Array]]:
                terms = over_rays(functools.partial(terms_of, trainable))(pixels, numbers)
                sums = {name: jnp.sum(term) for name, term in terms.items()}
                return sums['loss'], sums

            return jax.grad(total, has_aux=True)(state.trainable)

        chunk = config.ray_chunk or default_ray_chunk(model, state.params)
        gradient, sums = sum_over_chunks(sums_of, chunk)(pixels, numbers)
        # A sum over devices follows, divided by the sum of the weights: so the regularisers count once.
        weight = jnp.sum(pixels.weight)
        value, slope = jax.value_and_grad(functools.partial(regularise, config.regularisers))(state.params)
        sums['loss'] += weight * value
        gradient['model'] = jax.tree.map(lambda g, s: g + weight * s, gradient['model'], slope)
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
