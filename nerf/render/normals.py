"""The surface normal of ONE ray: from the gradient of density at all of the ray's samples."""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn
from jaxtyping import Array, Float

from nerf.lifting import over_samples
from nerf.ray.cameras import Camera, cast, world_distance
from nerf.ray.compositing import sample_positions
from nerf.ray.maths import norm, normalise
from nerf.ray.ndc import point_to_ndc
from nerf.ray.structs import Level, Ray, Scalar

# Of a cone's radius, the pixel's width: the radius is that of the disc whose variance a pixel has.
PIXEL = float(np.sqrt(12)) / 2
# Half the length over which the growth of density is averaged, in pixels. Within one, learned density is mostly noise:
# of the built-in scene's normals, a small mip-NeRF's pointwise gradients are off by 18 degrees, and these by 13.
REACH = 2.0


def world_density(
    model: nn.Module, variables: Mapping[str, Any], camera: Camera, point: Float[Array, '3'], width: Scalar
) -> Float[Array, '']:
    """Compute density around a world point, also where the model's space is NDC; `width` is in the model's space."""
    inside = point if camera.ndc is None else point_to_ndc(point, camera.ndc)
    return model.apply(variables, inside, width, method='density')


def surface_normal(
    model: nn.Module, variables: Mapping[str, Any], camera: Camera, xy: Float[Array, '2'], ray: Ray, level: Level
) -> Float[Array, '3']:
    """Compute n = -normalise(sum_i w_i g_i), world, with g_i the gradient of log(1 + density) at sample i; zero if empty.

    The gradient's components are differences over two pixels to either side: its mean along them. `ray` is that of the image
    point `xy`, and `level` what the model found along it.
    """
    still = cast(camera.replace(ndc=None), xy)

    def growth(t: Array) -> Array:
        distance = world_distance(camera, ray, t * norm(ray.direction))
        point = still.origin + distance * still.viewdir
        reach = REACH * PIXEL * still.radius * distance / norm(still.direction)
        width = PIXEL * ray.radius * (t if camera.ndc is None else 1.0)

        def along(axis: Array) -> Array:
            after, before = (world_density(model, variables, camera, point + side * reach * axis, width) for side in (1, -1))
            return (jnp.log1p(after) - jnp.log1p(before)) / (2 * reach)

        return over_samples(along)(jnp.eye(3))

    return -normalise(jnp.sum(level.weights[:, None] * over_samples(growth)(sample_positions(level)), axis=0))
