"""How long several configs train on one scene until they reach given PSNRs."""

import time
from collections.abc import Sequence
from typing import Any

import jax
import numpy as np

from nerf import lifting
from nerf.data.feed.batches import Batches, plain_batches
from nerf.data.scene import Scene
from nerf.models import make_model
from nerf.render import evaluation
from nerf.render.image import Renderer, to_uint8
from nerf.render.metrics import psnr
from nerf.train.optimizer import make_optimizer
from nerf.train.state import init_state
from nerf.train.step import make_train_step


def curve(config: Any, scene: Scene, every: float, views: int, longest: float | None = None) -> list[tuple[float, float]]:
    """Train, and record (seconds, PSNR of some test views) about `every` seconds; compiling and evaluating do not count.

    It ends with the config's steps, or after the `longest` seconds.
    """
    model, optimizer = make_model(config.model_name, config.model), make_optimizer(config)
    background = config.data.background
    start = init_state(model, optimizer, scene.cameras, config.seed)
    take_step = lifting.over_devices(make_train_step(model, optimizer, config), donate=(0,))
    cameras = lifting.replicate(scene.cameras)
    spec = Batches(config.seed, config.batch_size, config.data.batching, config.data.crop_steps)
    batches = plain_batches(scene, spec, 0)
    renderer = Renderer(model, background, config.render_chunk)
    test = scene.indices('test')[:: max(1, len(scene.indices('test')) // views)]

    def mean_psnr() -> float:
        pictures = [to_uint8(renderer.image(state.variables, scene.camera(int(i)))['rgb']) for i in test]
        truths = [evaluation.over_background(scene.image(int(i)), background) for i in test]
        return float(np.mean([psnr(*pair) for pair in zip(pictures, truths, strict=True)]))

    jax.block_until_ready(take_step(lifting.replicate(start), lifting.shard(next(batches)), cameras))
    state, batches = lifting.replicate(start), plain_batches(scene, spec, 0)
    points, trained, due = [], 0.0, every
    started = time.perf_counter()
    for number in range(1, config.num_steps + 1):
        state, _ = take_step(state, lifting.shard(next(batches)), cameras)
        if number % 10 == 0 or number == config.num_steps:
            jax.block_until_ready(state)
            now = trained + time.perf_counter() - started
            if now >= due or number == config.num_steps:
                points.append((now, mean_psnr()))
                trained, due = now, now + every
                if longest is not None and trained >= longest:
                    break
                started = time.perf_counter()
    return points


def time_to(points: Sequence[tuple[float, float]], psnr: float) -> float | None:
    """Seconds at which a curve first reaches a PSNR, interpolated between its points; None if it never does."""
    before = (0.0, 0.0)
    for seconds, value in points:
        if value >= psnr:
            share = (psnr - before[1]) / (value - before[1])
            return before[0] + share * (seconds - before[0])
        before = (seconds, value)
    return None
