"""From ONE pixel to its levels and colours: the function that training, evaluation and every renderer share."""

from collections.abc import Mapping
from typing import Any

from flax import linen as nn
from jaxtyping import Array, Float, Key

from nerf.ray.cameras import Camera, cast
from nerf.ray.compositing import composite
from nerf.ray.photos import Photo, adjust_camera, adjust_colour
from nerf.ray.structs import Level, Ray, Rendering, Scalar


def render_pixel(
    model: nn.Module,
    variables: Mapping[str, Any],
    camera: Camera,
    xy: Float[Array, '2'],
    background: Float[Array, '3'],
    photo: Photo | None = None,
    key: Key[Array, ''] | None = None,
    progress: Scalar = 1.0,
    interval: tuple[Float[Array, ''], Float[Array, '']] | None = None,
) -> tuple[Ray, list[Level], list[Rendering]]:
    """Cast the ray of one pixel, evaluate the model along it, and composite each of its levels.

    A photo's numbers have their three places here: the camera, the model, and the composited colour.

    Args:
        model: see `nerf.models.protocol.Model`.
        variables: its Linen collections, `params` and `state`.
        camera, xy: of the pixel, px.
        background: colour behind the scene, sRGB.
        photo: numbers of the pixel's own photo; None for a view that is no photo.
        key: of this ray's randomness; None: deterministic.
        progress: share of training done.
        interval: the part of the ray, near and far in t, that is evaluated; the rest is taken to be empty.

    Raises:
        ValueError: if given a batch of cameras or pixels.
    """
    ray = cast(adjust_camera(camera, photo), xy)
    near, far = interval or (ray.near, ray.far)
    levels = model.apply(variables, ray.replace(near=near, far=far), key, progress, photo)
    renderings = [composite(level, ray, background) for level in levels]
    return ray, levels, [each.replace(rgb=adjust_colour(each.rgb, photo)) for each in renderings]
