"""The maps of a picture at ONE pixel: colour, opacity, distances, depth, and what else a level has."""

from collections.abc import Callable, Mapping
from typing import Any

import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float

from nerf.models.pixel import render_pixel
from nerf.ray.background import background_colour
from nerf.ray.cameras import Camera, distance_to_depth, world_distance
from nerf.ray.photos import Photo, adjust_camera
from nerf.ray.structs import Level, Ray, Rendering
from nerf.render.normals import surface_normal

Quantity = Callable[[Level, Ray], Array]


def world_maps(rendering: Rendering, ray: Ray, camera: Camera) -> dict[str, Array]:
    """Return the maps of ONE pixel with distances in the world, also where the ray is in NDC, and the depth.

    Depth is that of the median distance: the mean is drawn away by a single floater far behind.
    """
    median = world_distance(camera, ray, rendering.distance_median)
    return {
        'rgb': rendering.rgb,
        'acc': rendering.acc,
        'distance': world_distance(camera, ray, rendering.distance),
        'distance_median': median,
        'depth': distance_to_depth(camera, ray.viewdir, median),
        **rendering.extras,
    }


def pixel_maps(
    model: nn.Module,
    background: str,
    variables: Mapping[str, Any],
    camera: Camera,
    xy: Float[Array, '2'],
    photo: Photo | None = None,
    interval: tuple[Float[Array, ''], Float[Array, '']] | None = None,
    with_normal: bool = False,
    level: int = -1,
    quantities: Mapping[str, Quantity] | None = None,
) -> dict[str, Array]:
    """Compute all maps of a picture at ONE pixel, without randomness: rgb, acc, distances, depth, and the level's extras.

    Args:
        model, variables, camera, xy, photo, interval: see `nerf.models.pixel.render_pixel`.
        background: white, black or random (grey in pictures).
        with_normal: whether the map `normal` is computed, which costs a gradient at every sample.
        level: number of the model's level that is shown; the last is the final one.
        quantities: further maps by name, each of a quantity of every sample, (level, ray) -> [n] or [n, k], composited by the
            weights.
    """
    behind = background_colour(background, None)
    ray, levels, renderings = render_pixel(model, variables, camera, xy, behind, photo, interval=interval)
    shown, camera = levels[level], adjust_camera(camera, photo)
    maps = world_maps(renderings[level], ray, camera)
    for name, quantity in (quantities or {}).items():
        maps[name] = jnp.tensordot(shown.weights, quantity(shown, ray), 1)
    return maps | {'normal': surface_normal(model, variables, camera, xy, ray, shown)} if with_normal else maps
