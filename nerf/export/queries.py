"""Densities and colours of a trained model at many points, and along many rays: functions of ONE point or ray, lifted."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from nerf import lifting
from nerf.models.protocol import crop_to_interval
from nerf.ray.cameras import Camera, cast
from nerf.ray.compositing import composite
from nerf.ray.maths import MACHINE_EPS, norm
from nerf.ray.structs import Ray
from nerf.render.image import RAYS_PER_BLOCK, default_chunk

# Points of one block on each device; a point is much less work than a ray.
BLOCK, POINTS_OF_A_RAY = 65536, 8
# A short ray extends REACH widths to either side of its point, with SHARE times the samples of a full ray.
REACH, SHARE = 2.0, 0.25
# Its origin is START times this reach before the point, so that spacings that grow with distance are nearly even there.
START = 10.0


def median_hit(
    model: nn.Module, variables: Mapping[str, Any], camera: Camera, xy: Float[Array, '2']
) -> tuple[Ray, Float[Array, ''], Float[Array, '']]:
    """Compute ONE pixel's ray, the t by which half of its light has stopped, and its opacity."""
    ray = cast(camera, xy)
    rendering = composite(model.apply(variables, ray)[-1], ray, jnp.zeros(3))
    return ray, rendering.distance_median / norm(ray.direction), rendering.acc


def outer_colour(
    model: nn.Module,
    variables: Mapping[str, Any],
    point: Float[Array, '3'],
    towards: Float[Array, '3'],
    viewdir: Float[Array, '3'],
    width: Float[Array, ''],
) -> Float[Array, '3']:
    """Compute the colour of ONE surface point along a short ray that begins closely before it.

    Args:
        model: for short rays, see `nerf.models.protocol.crop_to_interval`.
        variables: of it.
        point: of the surface.
        towards: into the surface, unit, in the space of the rays.
        viewdir: the view direction in the world, unit.
        width: of the pixel that the point stands for.
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
    rendering = composite(model.apply(variables, ray)[-1], ray, jnp.zeros(3))
    return rendering.rgb / jnp.maximum(rendering.acc, MACHINE_EPS)


class Queries:
    """Evaluator of this file's functions at any number of points and rays, over all devices; each is compiled once."""

    def __init__(self, model: nn.Module, variables: Any, between: Callable[[], None] = lambda: None) -> None:
        """Use replicated variables; `between` is called after each block."""
        self._variables, self._between = variables, between
        short = crop_to_interval(model, SHARE)

        def density(variables: Any, width: Array, point: Array) -> Array:
            return model.apply(variables, point, width, method='density')

        def hit(variables: Any, cameras: Camera, image: Array, xy: Array) -> tuple[Ray, Array, Array]:
            return median_hit(model, variables, cameras.at(image), xy)

        def colour(variables: Any, width: Array, *line: Array) -> Array:
            return outer_colour(short, variables, *line, width)

        self._density = lifting.Blocks(density, POINTS_OF_A_RAY * default_chunk(), BLOCK)
        self._hit, self._colour = (lifting.Blocks(each, default_chunk(), RAYS_PER_BLOCK) for each in (hit, colour))

    def density(self, points: np.ndarray, width: float) -> np.ndarray:
        """Compute density [k], 1 / world, at points [k, 3] that stand for cubes of this width."""
        return self._all(self._density, np.float32(width), points)

    def median_hit(self, cameras: Camera, image: np.ndarray, xy: np.ndarray) -> tuple[Ray, np.ndarray, np.ndarray]:
        """Compute `median_hit` for pixels `xy` [k, 2] of the cameras (stacked) numbered [k]: rays, t [k] and acc [k]."""
        return self._all(self._hit, cameras, image, xy)

    def colour(self, points: np.ndarray, towards: np.ndarray, viewdirs: np.ndarray, width: float) -> np.ndarray:
        """Compute the colours [k, 3] of surface points by `outer_colour`; all arguments are [k, 3]."""
        return self._all(self._colour, np.float32(width), points, towards, viewdirs)

    def _all(self, lifted: lifting.Blocks, shared: Any, *args: np.ndarray) -> Any:
        args = tuple(arg.astype(np.float32) if arg.dtype == np.float64 else arg for arg in args)
        return lifted(self._variables, shared, *args, size=lifted.size(), between=self._between)
