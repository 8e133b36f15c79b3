"""A whole image as chunks of one ray: the only way from parameters to pictures."""

import functools
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from nerf import lifting
from nerf.models import crop_to_interval
from nerf.ray.background import background_colour
from nerf.ray.cameras import Camera, cast, distance_to_depth, world_distance
from nerf.ray.compositing import composite
from nerf.ray.occupancy import Occupancy, occupied_interval
from nerf.ray.structs import Array, Level, Ray
from nerf.render.normals import surface_normal

Picture = dict[str, np.ndarray]

# Rays of one device between two moments at which progress is shown and an interruption is heard.
RAYS_PER_BLOCK = 8192

# Of its samples, what a model needs on the part of a ray that meets something. With fewer a hash grid loses detail; with
# more, mip-NeRF sees segments shorter than any it was trained on.
SHARE = 0.53125


def render_pixel(
    model: nn.Module,
    background: str,
    params: Any,
    camera: Camera,
    xy: Array,
    part: tuple[Array, Array] | None = None,
    with_normal: bool = False,
    level: int = -1,
) -> dict[str, Array]:
    """What ONE pixel shows: rgb [3], acc [], distance [], distance_median [], depth [] (normal [3]); without any randomness.

    Only `part` of the ray, near [] and far [], is looked at, if given; the rest of it is taken to be empty. `level` is the
    model's pass that is shown; the last one is what was learned to be seen.
    """
    ray = cast(camera, xy)
    near, far = part or (ray.near, ray.far)
    found = model.apply({'params': params}, ray.replace(near=near, far=far))[level]
    seen = _arriving(found, ray, camera, background)
    return seen | {'normal': surface_normal(model, params, camera, xy, ray, found)} if with_normal else seen


def empty_pixel(background: str, camera: Camera, xy: Array, with_normal: bool = False) -> dict[str, Array]:
    """What ONE pixel shows whose ray meets nothing: as `render_pixel`, without a model."""
    ray = cast(camera, xy)
    nothing = Level(
        s=jnp.array([0.0, 1.0]),
        t=jnp.stack([ray.near, ray.far]),
        density=jnp.zeros(1),
        rgb=jnp.zeros((1, 3)),
        weights=jnp.zeros(1),
    )
    seen = _arriving(nothing, ray, camera, background)
    return seen | {'normal': jnp.zeros(3)} if with_normal else seen


def _arriving(level: Level, ray: Ray, camera: Camera, background: str) -> dict[str, Array]:
    rendering = composite(level, ray, background_colour(background, None))
    median = world_distance(camera, ray, rendering.distance_median)
    return {
        'rgb': rendering.rgb,
        'acc': rendering.acc,
        'distance': world_distance(camera, ray, rendering.distance),
        'distance_median': median,
        # Not of the mean, which one floater far away draws after it.
        'depth': distance_to_depth(camera, ray.viewdir, median),
    }


def default_chunk() -> int:
    """Rays of one chunk: on a CPU few enough to stay in its cache, on an accelerator enough to fill it."""
    return 512 if jax.default_backend() == 'cpu' else RAYS_PER_BLOCK


def in_blocks(function: Callable, size: int, *args: np.ndarray) -> Iterator[Any]:
    """Call a function over all devices of all processes for any number of rays, in equal blocks of `size`, the last padded.

    Args:
        function: of arguments [local devices, rays of a device, ...], as `lifting.shard` makes them; what it gives must be
            gathered, [local devices, all devices, rays of a device, ...]: every process gets all of it.
        size: rays of a block, a multiple of the number of devices: what was compiled for one block is used for all.
        args: of each ray, [rays, ...], the same in all processes.

    Yields:
        What the function gives for each block, as numpy arrays [rays of the block, ...], without the padding.
    """
    count, local = len(args[0]), size // jax.process_count()
    for start in range(0, count, size):
        first = start + jax.process_index() * local
        numbers = np.minimum(np.arange(first, first + local), count - 1)
        gathered = lifting.unreplicate(function(*lifting.shard([arg[numbers] for arg in args])))
        length = min(size, count - start)
        yield jax.tree.map(lambda x, length=length: np.asarray(x).reshape(size, *x.shape[2:])[:length], gathered)


class Renderer:
    """Renders images of a model; compiled once for all images of about the same number of pixels.

    Attributes:
        evaluations: of the field so far, all levels together, and with the rays that only fill a block.
        evaluations_of_all: what they would have been without skipping anything.
    """

    def __init__(
        self,
        model: nn.Module,
        background: str,
        chunk: int | None = None,
        occupancy: Occupancy | None = None,
        with_normal: bool = False,
        level: int = -1,
        rays_per_block: int = RAYS_PER_BLOCK,
    ) -> None:
        """`chunk` rays are computed at a time on each device (by default, what fits: see `default_chunk`).

        Given an `occupancy`, rays that meet nothing are not computed, and others only where something is, with fewer samples.
        `with_normal`: pictures also have normals, which cost a gradient at every sample. `level`: see `render_pixel`.
        `rays_per_block`: of one device between two moments at which an interruption is heard.
        """
        self.chunk = chunk or default_chunk()
        self._rays_per_block = rays_per_block
        self.evaluations = self.evaluations_of_all = 0
        self._full = model
        self._model = model if occupancy is None else crop_to_interval(model, SHARE)
        self._occupancy = None if occupancy is None else lifting.replicate(occupancy)

        # Every process needs the whole picture, so that all take part in the same blocks.
        def gathered(one: Callable, *args: Array) -> Any:
            return jax.lax.all_gather(lifting.in_chunks(one, self.chunk)(*args), lifting.DEVICES)

        def look(occupancy: Occupancy, camera: Camera, xys: Array) -> tuple:
            def one(xy: Array) -> tuple:
                return occupied_interval(occupancy, cast(camera, xy)), empty_pixel(background, camera, xy, with_normal)

            return gathered(one, xys)

        def render(params: Any, camera: Camera, xys: Array, near: Array, far: Array) -> dict[str, Array]:
            def one(xy: Array, near: Array, far: Array) -> dict[str, Array]:
                return render_pixel(self._model, background, params, camera, xy, (near, far), with_normal, level)

            return gathered(one, xys, near, far)

        self._look = lifting.over_devices(look, in_axes=(0, None, 0))
        self._render = lifting.over_devices(render, in_axes=(0, None, 0, 0, 0))

    def _block_size(self, rays: int) -> int:
        """Rays of one block over all devices: equal blocks of whole chunks, so that little is padded and compiled once."""
        chunk = self.chunk * jax.device_count()
        blocks = -(-rays // max(self._rays_per_block * jax.device_count(), chunk))
        return chunk * -(-rays // (blocks * chunk))

    def image(self, params: Any, camera: Camera, between: Callable[[], None] = lambda: None) -> Picture:
        """One image: what `render_pixel` gives, with leading axes [h, w]; `between` is called after each block."""
        width, height = int(camera.width), int(camera.height)
        numbers = np.arange(width * height)
        xys = np.stack([numbers % width, numbers // width], axis=-1).astype(np.float32) + 0.5
        size = self._block_size(len(xys))
        if self._occupancy is None:
            part = np.full((2, len(xys)), [[camera.near], [camera.far]], np.float32)
            picture = _joined(self._render_blocks(size, between, params, camera, xys, *part))
        else:
            (near, far, meets), picture = _joined(self._look_blocks(size, between, camera, xys))
            # How many rays are left differs from view to view, what is compiled must not: blocks of an eighth of a view.
            blocks = self._render_blocks(
                self._block_size(-(-len(xys) // 8)), between, params, camera, *(each[meets] for each in (xys, near, far))
            )
            for name, values in (_joined(blocks) if meets.any() else {}).items():
                picture[name][meets] = values
        self.evaluations_of_all += size * -(-len(xys) // size) * evaluations(self._full)
        return {name: values.reshape(height, width, *values.shape[1:]) for name, values in picture.items()}

    def _look_blocks(self, size: int, between: Callable[[], None], camera: Camera, xys: np.ndarray) -> Iterator[Any]:
        for block in in_blocks(lambda xys: self._look(self._occupancy, camera, xys), size, xys):
            yield block
            between()

    def _render_blocks(
        self, size: int, between: Callable[[], None], params: Any, camera: Camera, *rays: np.ndarray
    ) -> Iterator[Picture]:
        for block in in_blocks(lambda *rays: self._render(params, camera, *rays), size, *rays):
            self.evaluations += size * evaluations(self._model)
            yield block
            between()


def _joined(blocks: Iterator[Any]) -> Any:
    return jax.tree.map(lambda *parts: np.concatenate(parts), *blocks)


@functools.cache
def evaluations(model: nn.Module) -> int:
    """How often a model evaluates its fields for ONE ray, all levels together."""
    vector, number = jax.ShapeDtypeStruct((3,), jnp.float32), jax.ShapeDtypeStruct((), jnp.float32)
    ray = Ray(origin=vector, direction=vector, viewdir=vector, radius=number, near=number, far=number)
    levels, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), ray)
    return sum(level.density.shape[0] for level in levels)


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Values in [0, 1] as 8 bit: clipped, then rounded (truncation would cost up to 0.2 dB)."""
    return np.round(np.clip(values, 0.0, 1.0) * 255).astype(np.uint8)
