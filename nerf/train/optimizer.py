"""The optimiser: its learning rate, Adam, and gradients that are clipped."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import optax

from nerf.ray.structs import Array

WARMUP_START = 0.01  # share of the learning rate with which a warm-up begins (mip-NeRF)


def learning_rate(options: Mapping[str, Any], num_steps: int) -> optax.Schedule:
    """Return a schedule of log-linear (that is, exponential) decay after a sine-shaped warm-up.

    lr(n) = lr_0 (lr_1 / lr_0)^(n / N), times m + (1 - m) sin(pi/2 min(n / W, 1)) with warm-up steps W and m = 0.01;
    N is `decay_steps` where set, else the steps of the run. The recipe of mip-NeRF; NeRF's has no warm-up.
    """
    decay = optax.exponential_decay(
        options['learning_rate'],
        transition_steps=options['decay_steps'] or num_steps,
        decay_rate=options['final_learning_rate'] / options['learning_rate'],
    )
    warmup_steps = options['warmup_steps']

    def schedule(step: Array) -> Array:
        ramp = jnp.sin(0.5 * jnp.pi * jnp.clip(step / max(warmup_steps, 1), 0.0, 1.0))
        return decay(step) * (WARMUP_START + (1 - WARMUP_START) * ramp if warmup_steps else 1.0)

    return schedule


def make_optimizer(config: Any) -> optax.GradientTransformation:
    """Make Adam for each group of what is trained (`TrainState.trainable`), each with the schedule of `learning_rate`.

    The model's group takes `config.optimizer`, behind `clip_networks` where `clip_norm` is set; the group of a photo table
    takes `config.photos[name]` for what that sets, and `config.optimizer` for the rest.
    """

    def adam(options: Mapping[str, Any]) -> optax.GradientTransformation:
        return optax.adam(learning_rate(options, config.num_steps), eps=options['adam_eps'])

    model = adam(config.optimizer)
    if config.optimizer['clip_norm']:
        model = optax.chain(clip_networks(config.optimizer['clip_norm']), model)
    photos = {name: adam({**config.optimizer, **options}) for name, options in config.photos.items()}
    groups = {'model': model, **photos}
    return optax.partition(groups, {name: name for name in groups})


def clip_networks(norm: float) -> optax.GradientTransformation:
    """Shorten the gradient of each network of the model to at most `norm`, apart from the others.

    A network is a top-level entry of the parameters, and these are the group `model` of what is trained.
    """
    clip = optax.clip_by_global_norm(norm)

    def update(gradient: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        networks = {name: clip.update(part, state)[0] for name, part in gradient['model'].items()}
        return {**gradient, 'model': networks}, state

    return optax.GradientTransformation(clip.init, update)
