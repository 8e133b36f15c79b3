"""A whole image from a function of ONE pixel: the only way from parameters to pictures."""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array

from nerf import lifting
from nerf.models.protocol import crop_to_interval
from nerf.ray.cameras import Camera
from nerf.ray.occupancy import Occupancy
from nerf.ray.photos import Photo
from nerf.ray.structs import Level, Ray
from nerf.render.maps import Quantity, pixel_maps
from nerf.render.skip import skip_empty

Picture = dict[str, np.ndarray]

# Rays of each device in one block; after each block, progress is shown and an interruption is noticed.
RAYS_PER_BLOCK = 8192

# Share of its samples that a model takes on the occupied interval of a ray: found by trying. With fewer a hash grid
# loses detail; with more, mip-NeRF is given segments shorter than any it was trained on.
SHARE = 0.53125


def default_chunk() -> int:
    """Return the rays of one chunk: on a CPU and a TPU few enough to stay in its fast memory, on a GPU enough to fill it."""
    return 512 if jax.default_backend() in ('cpu', 'tpu') else RAYS_PER_BLOCK


class Renderer:
    """A model's renderer of images; compiled once for all images of about the same number of pixels.

    Attributes:
        chunk: rays computed at a time on each device.
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
        quantities: Mapping[str, Quantity] | None = None,
    ) -> None:
        """Prepare the two functions of ONE pixel and their lift.

        Args:
            model, background, with_normal, level, quantities: see `pixel_maps`.
            chunk: rays computed at a time on each device; None: `default_chunk`.
            occupancy: where the scene is; rays that meet nothing of it are not evaluated, and others only there, with fewer
                samples. None: all rays are evaluated from near to far.
            rays_per_block: of one device, between two moments at which an interruption is noticed.
        """
        self.chunk = chunk or default_chunk()
        self.evaluations = self.evaluations_of_all = 0
        self._full = model
        self._model = model if occupancy is None else crop_to_interval(model, SHARE)
        self._occupancy = None if occupancy is None else lifting.replicate(occupancy)
        maps = functools.partial(pixel_maps, with_normal=with_normal, level=level, quantities=quantities)

        def skip(occupancy: Occupancy, shared: tuple, xy: Array) -> tuple:
            return skip_empty(occupancy, shared[0], xy, background, shared[1])

        def render(variables: Any, shared: tuple, xy: Array, near: Array, far: Array) -> dict[str, Array]:
            camera, photo = shared
            return maps(self._model, background, variables, camera, xy, photo, (near, far))

        self._skip, self._render = (lifting.Blocks(each, self.chunk, rays_per_block) for each in (skip, render))
        self._one = functools.partial(maps, model, background)
        self._shapes: dict[str, jax.ShapeDtypeStruct] = {}

    def image(
        self, variables: Any, camera: Camera, between: Callable[[], None] = lambda: None, photo: Photo | None = None
    ) -> Picture:
        """Render one image: the maps of `pixel_maps` with leading axes [h, w].

        Args:
            variables: of the model, replicated.
            camera: of the image.
            between: called after each block of rays; what it raises ends the image.
            photo: numbers of the photo that the image is compared with; None: the view is no photo.
        """
        width, height = int(camera.width), int(camera.height)
        numbers = np.arange(width * height)
        xys = np.stack([numbers % width, numbers // width], axis=-1).astype(np.float32) + 0.5
        shared, size = (camera, photo), self._render.size(len(xys))
        if self._occupancy is None:
            interval = np.full((2, len(xys)), [[camera.near], [camera.far]], np.float32)
            picture = self._evaluate(variables, shared, xys, *interval, size=size, between=between)
        else:
            (near, far, meets), picture = self._skip(self._occupancy, shared, xys, size=size, between=between)
            self._shapes = self._shapes or jax.eval_shape(
                self._one, jax.tree.map(lambda x: x[0], variables), camera, xys[0], photo
            )
            for name, shape in self._shapes.items():
                picture.setdefault(name, np.zeros((len(xys), *shape.shape), shape.dtype))
            if meets.any():
                # How many rays are left differs from view to view, what is compiled must not: blocks of an eighth of a view.
                size_left = self._render.size(-(-len(xys) // 8))
                rays = (each[meets] for each in (xys, near, far))
                for name, values in self._evaluate(variables, shared, *rays, size=size_left, between=between).items():
                    picture[name][meets] = values
        self.evaluations_of_all += size * -(-len(xys) // size) * evaluations(self._full)
        return {name: values.reshape(height, width, *values.shape[1:]) for name, values in picture.items()}

    def _evaluate(self, variables: Any, shared: tuple, *rays: np.ndarray, size: int, between: Callable[[], None]) -> Picture:
        def after_block() -> None:
            self.evaluations += size * evaluations(self._model)
            between()

        return self._render(variables, shared, *rays, size=size, between=after_block)


@functools.cache
def evaluations(model: nn.Module) -> int:
    """Count how often a model evaluates its fields for ONE ray, all levels together."""
    return sum(level.density.shape[0] for level in level_shapes(model))


def level_shapes(model: nn.Module) -> list[Level]:
    """Return the levels of ONE ray as shapes, without computing them."""
    vector, number = jax.ShapeDtypeStruct((3,), jnp.float32), jax.ShapeDtypeStruct((), jnp.float32)
    ray = Ray(origin=vector, direction=vector, viewdir=vector, radius=number, near=number, far=number)
    levels, _ = jax.eval_shape(model.init_with_output, jax.random.key(0), ray)
    return levels


def to_uint8(values: np.ndarray) -> np.ndarray:
    """Convert values in [0, 1] to 8 bit: clipped, then rounded (truncation would cost up to 0.2 dB)."""
    return np.round(np.clip(values, 0.0, 1.0) * 255).astype(np.uint8)
