"""A short training in memory: no checkpoints, no TensorFlow, no CLU; the same step and batches as those of `main.py`."""

import dataclasses
from typing import Any

import jax
import numpy as np
from flax import linen as nn

from nerf import lifting
from nerf.data.feed.batches import Batches, plain_batches
from nerf.data.scene import Scene
from nerf.models import make_model
from nerf.render.evaluation import over_background
from nerf.render.image import Picture, Renderer, to_uint8
from nerf.render.metrics import psnr
from nerf.train.optimizer import make_optimizer
from nerf.train.state import TrainState, init_state
from nerf.train.step import make_train_step


@dataclasses.dataclass(frozen=True)
class ShortRun:
    """What a short training leaves.

    Attributes:
        model: of one ray.
        state: after the last step.
        training_mse: of each batch, [steps].
        pictures: of the held-out view by step.
        psnr: of these, dB, by step.
    """

    model: nn.Module
    state: TrainState
    training_mse: np.ndarray
    pictures: dict[int, Picture]
    psnr: dict[int, float]


def short_run(config: Any, scene: Scene, held_out: str, every: int) -> ShortRun:
    """Train `config.num_steps` steps on a scene, and render a held-out view every so many steps and after the last.

    Args:
        config: resolved; its `batch_size` is a multiple of the number of devices.
        held_out: name of the view.
        every: steps between two pictures.
    """
    model, optimizer = make_model(config.model_name, config.model), make_optimizer(config)
    state = init_state(model, optimizer, scene.cameras, config.seed, tuple(config.photos))
    view = scene.names.index(held_out)
    photograph = over_background(scene.image(view), config.data.background)
    renderer, take_step = (
        Renderer(model, config.data.background),
        lifting.over_devices(make_train_step(model, optimizer, config)),
    )
    device_state, cameras = lifting.replicate((state, scene.cameras))
    batches = plain_batches(scene, Batches(config.seed, config.batch_size), first_step=0)
    errors, pictures = [], {}
    for step in range(1, config.num_steps + 1):
        device_state, metrics = take_step(device_state, lifting.shard(next(batches)), cameras)
        error, weight = jax.device_get(metrics['mse'])
        errors.append(error.sum() / weight.sum())
        if step % every == 0 or step == config.num_steps:
            pictures[step] = renderer.image(device_state.variables, scene.camera(view))
    scores = {step: float(psnr(to_uint8(picture['rgb']), photograph)) for step, picture in pictures.items()}
    return ShortRun(model, lifting.unreplicate(device_state), np.array(errors), pictures, scores)
