"""A config's training and rendering step, compiled ahead of time for accelerators that are not there.

What is printed are the compiler's own figures, and bounds that follow from the chip's limits: nothing is run.
"""

from collections.abc import Callable, Sequence
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
from flax import linen as nn

from nerf import lifting
from nerf.benchmark import timing
from nerf.benchmark.chips import GIB, Chip, chip_of
from nerf.config import resolve
from nerf.data import procedural
from nerf.data.feed.batches import pixel_batch
from nerf.errors import UserError
from nerf.models import make_model
from nerf.models.pixel import render_pixel
from nerf.ray.background import background_colour
from nerf.ray.cameras import Camera
from nerf.ray.structs import Array
from nerf.render.image import default_chunk
from nerf.train.optimizer import make_optimizer
from nerf.train.state import TrainState, init_state
from nerf.train.step import default_ray_chunk, make_train_step

USABLE = 0.9  # share of a chip's memory that a program may ask for: the rest is the runtime's


class Programs:
    """The two programs of a config by shapes alone, and their arguments on a number of devices."""

    def __init__(self, config: Any, devices: int, platform: str) -> None:
        """Compute shapes; the cameras are the built-in scene's.

        Raises:
            UserError: the batch cannot be shared between the devices.
        """
        if config.batch_size % devices:
            raise UserError(f'config.batch_size = {config.batch_size}: expected a multiple of the {devices} devices')
        self._devices, self.rays = devices, config.batch_size // devices
        self.model: nn.Module = make_model(config.model_name, config.model)
        self.optimizer = make_optimizer(config)
        scene = procedural.load(16)
        start = lambda: init_state(self.model, self.optimizer, scene.cameras, config.seed, tuple(config.photos))  # noqa: E731
        self.state: TrainState = jax.eval_shape(start)
        chunk = config.ray_chunk or default_ray_chunk(self.model, self.state.params, platform)
        self.chunks = -(-self.rays // chunk)  # of a device, one after the other
        self.config = resolve(ml_collections.ConfigDict({**config, 'ray_chunk': chunk}))
        self._cameras = shapes_of(scene.cameras)
        self._pixel = shapes_of(jax.tree.map(lambda x: x[0], pixel_batch(scene, scene.indices('train'), 0, 0, 1)))

    def training(self) -> tuple[Callable, tuple]:
        """Return the step of one device, and the arguments of its lift."""
        step = make_train_step(self.model, self.optimizer, self.config)
        return step, tuple(map(self._on_all, (self.state, self._many(self._pixel, self.rays), self._cameras)))

    def rendering(self, chunk: int) -> tuple[Callable, tuple]:
        """Return the colours of one chunk of rays of each device, and the arguments of its lift."""

        def render(variables: Any, camera: Camera, xys: Array) -> Array:
            behind = background_colour(self.config.data.background, None)

            def colour(xy: Array) -> Array:
                return render_pixel(self.model, variables, camera, xy, behind)[-1][-1].rgb

            return lifting.over_rays(colour)(xys)

        camera = jax.tree.map(lambda x: jax.ShapeDtypeStruct(x.shape[1:], x.dtype), self._cameras)
        return render, tuple(map(self._on_all, (self.state.variables, camera, self._many(self._pixel.xy, chunk))))

    def _on_all(self, tree: Any) -> Any:
        return self._many(tree, self._devices)

    def _many(self, tree: Any, count: int) -> Any:
        return jax.tree.map(lambda x: jax.ShapeDtypeStruct((count, *x.shape), x.dtype), tree)


def shapes_of(tree: Any) -> Any:
    """Return the shapes and types of arrays as they are on a device."""
    return jax.eval_shape(lambda: jax.tree.map(jnp.asarray, tree))


def compile_ahead(config: Any, platform: str, devices: Sequence[Any]) -> dict[str, Any]:
    """Compile both programs of a config for devices that need not be there, and compute what binds each."""
    chip, chunk = chip_of(devices[0]), config.render_chunk or default_chunk(platform)
    programs = Programs(config, len(devices), platform)
    hosts = len({device.process_index for device in devices})
    figures: dict[str, Any] = {'devices': f'{len(devices)} x {devices[0].device_kind}, {hosts} host{"s" * (hosts > 1)}'}
    parts = {
        'train': (programs.rays, programs.chunks, programs.training()),
        'render': (chunk, 1, programs.rendering(chunk)),
    }
    for name, (rays, rounds, (step, arguments)) in parts.items():
        lowered = lifting.over_devices(step, devices=devices).lower(*arguments)
        compiled = lowered.compile()
        # Of one device: the lift adds nothing that multiplies.
        flops = timing.matmul_flops(lifting.over_devices(step, devices=devices), *arguments)
        figures |= {f'{name}: {key}': value for key, value in limits(compiled, rays, rounds, flops, chip).items()}
    return figures


def limits(compiled: Any, rays: int, rounds: int, flops: int, chip: Chip) -> dict[str, Any]:
    """Compute what one device needs for a program, and how long each need takes at least.

    Bytes are an upper bound: the compiler also counts operands that never leave the chip. It counts the body of a loop once, so
    all of the program is taken as often as its loop over chunks of rays has `rounds`.
    """
    memory = compiled.memory_analysis()
    needed = memory.temp_size_in_bytes + memory.argument_size_in_bytes
    costs = compiled.cost_analysis() or {}  # None for GPUs
    count = (costs[0] if isinstance(costs, list) else costs).get('bytes accessed')
    arithmetic = flops / chip.flops
    share = f'{needed / chip.memory:.1%} of {chip.memory / GIB:.0f} GiB'
    found = {
        'rays of a device': rays,
        'temporaries, GiB': memory.temp_size_in_bytes / GIB,
        'arguments, GiB': memory.argument_size_in_bytes / GIB,
        'fits': f'yes: {share}' if needed <= USABLE * chip.memory else f'NO: {share}',
        'products, TFLOP': flops / 1e12,
        'products, ms': 1e3 * arithmetic,
    }
    if count is None:
        return found
    count *= rounds
    moved = count / chip.bandwidth
    binds = 'products' if arithmetic > moved else 'memory'
    return {**found, 'memory, GB at most': count / 1e9, 'memory, ms at most': 1e3 * moved, 'binds': binds}
