"""How fast a config trains and renders, and what the lift costs."""

import importlib
from typing import Any

import jax
import ml_collections

from nerf import lifting
from nerf.benchmark import timing
from nerf.benchmark.hand_batched import REFERENCES
from nerf.benchmark.workload import Workload
from nerf.config import resolve
from nerf.render.image import Renderer
from nerf.train.step import make_train_step


def resolved(path: str) -> ml_collections.FrozenConfigDict:
    """Load and resolve the config `configs/NAME.py` or `configs/NAME.py:SCENE`."""
    file, _, scene = path.partition(':')
    module = importlib.import_module(file.removesuffix('.py').replace('/', '.'))
    return resolve(module.get_config(*filter(None, [scene])))


def train_speed(work: Workload, times: int) -> tuple[float, float]:
    """Measure rays per second of the real train step over all devices, and the MiB of XLA's temporaries."""
    config = work.config
    lifted = lifting.over_devices(make_train_step(work.model, work.optimizer, config))
    args = (lifting.replicate(work.state), lifting.shard(work.pixels), lifting.replicate(work.cameras))
    memory = lifted.lower(*args).compile().memory_analysis()
    seconds = timing.median_seconds(lambda: lifted(*args), times)
    return config.batch_size / seconds, memory.temp_size_in_bytes / 2**20


def render_speed(work: Workload, times: int) -> float:
    """Measure rays per second of whole images."""
    renderer = Renderer(work.model, work.config.data.background, work.config.render_chunk)
    variables, camera = lifting.replicate(work.state.variables), work.scene.camera(0)
    return int(camera.width) * int(camera.height) / timing.median_seconds(lambda: renderer.image(variables, camera), times)


def measure(config: Any, pairs: int) -> dict[str, Any]:
    """Measure all figures of a config, by the names they have in the JSON file."""
    work = Workload(config)
    peak = timing.matmul_peak()
    train, memory = train_speed(work, pairs)
    flops = timing.matmul_flops(jax.grad(work.lifted_loss), work.state.params, *work.batch)
    figures = {
        'device': f'{jax.device_count()} x {jax.devices()[0].device_kind}',
        'model': config.model_name,
        'batch_size': config.batch_size,
        'train_rays_per_s': train,
        'train_memory_mib': memory,
        'render_rays_per_s': render_speed(work, min(pairs, 5)),
        'matmul_peak_gflops': peak / 1e9,
        'train_gflop_per_ray': flops / config.batch_size / 1e9,
        'peak_share': flops / config.batch_size * train / peak / jax.device_count(),
    }
    if config.model_name in REFERENCES:
        lifted, batched = work.training(work.lifted_loss), work.training(work.hand_batched_loss)
        lifted_render, batched_render = work.rendering(work.lifted_render), work.rendering(work.hand_batched_render)
        compared = {
            'lift_ratio_train': (lifted, batched),
            'lift_ratio_render': (lifted_render, batched_render),
            'self_ratio_train': (lifted, work.training(work.lifted_loss)),
            'self_ratio_render': (lifted_render, work.rendering(work.lifted_render)),
        }
        for name, (one, other) in compared.items():
            lower, median, upper = timing.ratio_quartiles(one, other, pairs)
            figures |= {name: median, f'{name}_quartiles': [lower, upper]}
    if peak_bytes := (jax.local_devices()[0].memory_stats() or {}).get('peak_bytes_in_use'):  # CPUs do not say
        figures['peak_memory_mib'] = peak_bytes / 2**20
    return figures
