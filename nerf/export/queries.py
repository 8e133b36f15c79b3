"""What a trained model says at many points and along many rays: a point or a ray of it, lifted."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from nerf import lifting
from nerf.models import crop_to_interval
from nerf.ray.cameras import Camera, cast
from nerf.ray.compositing import composite
from nerf.ray.maths import MACHINE_EPS, norm
from nerf.ray.structs import Array, Ray
from nerf.render.image import RAYS_PER_BLOCK, default_chunk, in_blocks

# Points looked at together, on each device; a point is much less work than a ray.
BLOCK, POINTS_OF_A_RAY = 65536, 8
# A short ray goes REACH widths to either side of its point; what it has of samples is this share of a long one's.
REACH, SHARE = 2.0, 0.25
# It begins at so many times this reach before the point: for spacings that grow with the distance it is nearly even.
START = 10.0


def median_hit(model: nn.Module, params: Any, camera: Camera, xy: Array) -> tuple[Ray, Array, Array]:
    """ONE pixel's ray, the t [] at which it is half stopped, and how likely it stops anywhere, []."""
    ray = cast(camera, xy)
    seen = composite(model.apply({'params': params}, ray)[-1], ray, jnp.zeros(3))
    return ray, seen.distance_median / norm(ray.direction), seen.acc


def outer_colour(model: nn.Module, params: Any, point: Array, towards: Array, viewdir: Array, width: Array) -> Array:
    """The colour [3] of ONE point [3] of a surface for who looks `towards` it, unit [3], from closely before it.

    Args:
        model: for short rays, see `nerf.models.crop_to_interval`.
        params: of it.
        point: of the surface.
        towards: into the surface, unit [3], in the space of the rays.
        viewdir: the direction in the world in which it is looked at.
        width: of what the point stands for, []: of the pixel as which it is looked at.
    """
    reach = REACH * width
    ray = Ray(
        origin=point - START * reach * towards,
        direction=towards,
        viewdir=viewdir,
        radius=jnp.full((), 2 / jnp.sqrt(12.0) / (START * REACH)),
        near=(START - 1) * reach,
        far=(START + 1) * reach,
    )
    seen = composite(model.apply({'params': params}, ray)[-1], ray, jnp.zeros(3))
    return seen.rgb / jnp.maximum(seen.acc, MACHINE_EPS)


class Queries:
    """Asks a model about any number of points and rays, over all devices of all processes; compiled once for each kind."""

    def __init__(self, model: nn.Module, params: Any, between: Callable[[], None] = lambda: None) -> None:
        """`params` are replicated; `between` is called after each block."""
        self._params, self._between = params, between
        short = crop_to_interval(model, SHARE)

        def gathered(one: Callable, chunk: int, *args: Array) -> Any:
            return jax.lax.all_gather(lifting.in_chunks(one, chunk)(*args), lifting.DEVICES)

        def density(params: Any, width: Array, points: Array) -> Array:
            one = lambda point: model.apply({'params': params}, point, width, method='density')  # noqa: E731
            return gathered(one, POINTS_OF_A_RAY * default_chunk(), points)

        def stop(params: Any, cameras: Camera, image: Array, xys: Array) -> tuple[Ray, Array, Array]:
            camera = lambda i: jax.tree.map(lambda field: field[i], cameras)  # noqa: E731
            return gathered(lambda i, xy: median_hit(model, params, camera(i), xy), default_chunk(), image, xys)

        def colour(params: Any, width: Array, *lines: Array) -> Array:
            return gathered(lambda *line: outer_colour(short, params, *line, width), default_chunk(), *lines)

        self._density = lifting.over_devices(density, in_axes=(0, None, 0))
        self._stop = lifting.over_devices(stop, in_axes=(0, None, 0, 0))
        self._colour = lifting.over_devices(colour, in_axes=(0, None, 0, 0, 0))

    def density(self, points: np.ndarray, width: float) -> np.ndarray:
        """Density [k], 1 / world, at points [k, 3] that stand for cubes of this width."""
        chunk = POINTS_OF_A_RAY * default_chunk()
        return self._all(lambda *args: self._density(self._params, np.float32(width), *args), chunk, BLOCK, points)

    def median_hit(self, cameras: Camera, image: np.ndarray, xy: np.ndarray) -> tuple[Ray, np.ndarray, np.ndarray]:
        """Rays of pixels `xy` [k, 2] of the cameras (stacked) numbered [k], where they are half stopped, t [k], and acc [k]."""
        function = lambda *args: self._stop(self._params, cameras, *args)  # noqa: E731
        return self._all(function, default_chunk(), RAYS_PER_BLOCK, image, xy)

    def colour(self, points: np.ndarray, towards: np.ndarray, viewdirs: np.ndarray, width: float) -> np.ndarray:
        """Colours [k, 3] of points of surfaces, as `outer_colour` sees them, all [k, 3]."""
        function = lambda *args: self._colour(self._params, np.float32(width), *args)  # noqa: E731
        return self._all(function, default_chunk(), RAYS_PER_BLOCK, points, towards, viewdirs)

    def _all(self, function: Callable, chunk: int, block: int, *args: np.ndarray) -> Any:
        args = tuple(arg.astype(np.float32) if arg.dtype == np.float64 else arg for arg in args)
        parts = []
        for part in in_blocks(function, chunk * jax.device_count() * max(1, block // chunk), *args):
            parts.append(part)
            self._between()
        return jax.tree.map(lambda *parts: np.concatenate(parts), *parts)
