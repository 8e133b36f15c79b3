"""Which way the surface faces that ONE ray meets: from how density grows, along all of the ray's samples."""

from typing import Any

import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from nerf.lifting import over_samples
from nerf.ray.cameras import Camera, cast, world_distance
from nerf.ray.maths import norm, normalise
from nerf.ray.ndc import point_to_ndc
from nerf.ray.structs import Array, Level, Ray

# Of a cone's radius, the pixel's width: the radius is that of the disc whose variance a pixel has.
PIXEL = float(np.sqrt(12)) / 2
# Half the length over which the growth of density is averaged, in pixels. Within one, learned density is mostly noise:
# of the built-in scene's normals, a small mip-NeRF's pointwise gradients are off by 18 degrees, and these by 13.
REACH = 2.0


def world_density(model: nn.Module, params: Any, camera: Camera, point: Array, width: Array) -> Array:
    """Density [] around a world point [3], also where the model knows it in NDC; `width` [] is in the model's space."""
    inside = point if camera.ndc is None else point_to_ndc(point, camera.ndc)
    return model.apply({'params': params}, inside, width, method='density')


def surface_normal(model: nn.Module, params: Any, camera: Camera, xy: Array, ray: Ray, level: Level) -> Array:
    """n = -normalise(sum_i w_i g_i), [3], world, with g_i the gradient of log(1 + density) at sample i; zero if all is empty.

    The gradient's components are differences over two pixels to either side: its mean along them. `ray` and `level` are what
    the model was asked, and said, at the image point `xy` [2].
    """
    t = level.t if level.t.shape == level.weights.shape else 0.5 * (level.t[1:] + level.t[:-1])
    still = cast(camera.replace(ndc=None), xy)

    def growth(t: Array) -> Array:
        distance = world_distance(camera, ray, t * norm(ray.direction))
        point = still.origin + distance * still.viewdir
        reach = REACH * PIXEL * still.radius * distance / norm(still.direction)
        width = PIXEL * ray.radius * (t if camera.ndc is None else 1.0)

        def along(axis: Array) -> Array:
            after, before = (world_density(model, params, camera, point + side * reach * axis, width) for side in (1, -1))
            return (jnp.log1p(after) - jnp.log1p(before)) / (2 * reach)

        return over_samples(along)(jnp.eye(3))

    return -normalise(jnp.sum(level.weights[:, None] * over_samples(growth)(t), axis=0))
