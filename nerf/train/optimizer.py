"""The optimiser: its learning rate, Adam, and gradients that are clipped."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import optax

from nerf.ray.structs import Array


def learning_rate(options: Mapping[str, Any], num_steps: int) -> optax.Schedule:
    """Log-linear (that is, exponential) decay, after a sine-shaped warm-up.

    lr(n) = lr_0 (lr_1 / lr_0)^(n / N), times m + (1 - m) sin(pi/2 min(n / W, 1)) with warm-up steps W and start m;
    N is `decay_steps` where set, else the steps of the run. The recipe of mip-NeRF; NeRF's has no warm-up.
    """
    decay = optax.exponential_decay(
        options['learning_rate'],
        transition_steps=options['decay_steps'] or num_steps,
        decay_rate=options['final_learning_rate'] / options['learning_rate'],
    )
    warmup_steps, start = options['warmup_steps'], options['warmup_scale']

    def schedule(step: Array) -> Array:
        ramp = jnp.sin(0.5 * jnp.pi * jnp.clip(step / max(warmup_steps, 1), 0.0, 1.0))
        return decay(step) * (start + (1 - start) * ramp if warmup_steps else 1.0)

    return schedule


def make_optimizer(options: Mapping[str, Any], num_steps: int) -> optax.GradientTransformation:
    """Adam with the schedule of `learning_rate`, behind `clip_networks` where `clip_norm` is set."""
    adam = optax.adam(learning_rate(options, num_steps), eps=options['adam_eps'])
    return optax.chain(clip_networks(options['clip_norm']), adam) if options['clip_norm'] else adam


def clip_networks(norm: float) -> optax.GradientTransformation:
    """The gradient of each network (top-level entry of the parameters) shortened to at most `norm`, apart from the others."""
    clip = optax.clip_by_global_norm(norm)

    def update(gradient: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        return {name: clip.update(part, state, params)[0] for name, part in gradient.items()}, state

    return optax.GradientTransformation(clip.init, update)
