"""One pixel, one operation after the other: each stage with its shape and range, for `main.py --debug_ray=camera,x,y`."""

from collections.abc import Iterator, Mapping
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import linen as nn

from nerf.data.scene import Scene
from nerf.errors import UserError
from nerf.models.pixel import render_pixel
from nerf.ray.background import background_colour, target_colour
from nerf.ray.losses import LOSSES
from nerf.ray.structs import Level, Pixel, RenderedPixel
from nerf.train.state import photo_of

SHOWN = 4  # numbers of an array, at its beginning


def find_pixel(scene: Scene, asked: str) -> Pixel:
    """Read CAMERA,X,Y: the name or the number of a photo, and the pixel's column and row.

    Raises:
        UserError: no such photo, or nothing within it.
    """
    name, *numbers = asked.split(',')
    try:
        x, y = map(float, numbers)
    except ValueError as error:
        raise UserError(f'--debug_ray={asked}: expected CAMERA,X,Y: a photo by name or number, column and row in px') from error
    if name in scene.names:
        camera = scene.names.index(name)
    elif name.isascii() and name.isdecimal() and int(name) < len(scene.names):
        camera = int(name)
    else:
        raise UserError(
            f'--debug_ray={asked}: no photo {name!r}: expected 0 to {len(scene.names) - 1}, or {scene.names[0]} ...'
        )
    width, height = int(scene.cameras.width[camera]), int(scene.cameras.height[camera])
    if not (0 <= x < width and 0 <= y < height):
        raise UserError(f'--debug_ray={asked}: outside of the photo, expected x below {width} and y below {height}')
    rgba = scene.image(camera)[int(y), int(x)]
    xy = np.floor([x, y]).astype(np.float32) + 0.5
    return Pixel(jnp.int32(camera), jnp.asarray(xy), jnp.asarray(rgba), jnp.ones(()))


def stages(
    model: nn.Module, config: Any, variables: Mapping[str, Any], photos: dict[str, Any], scene: Scene, pixel: Pixel, step: int
) -> Iterator[str]:
    """Render ONE pixel without compilation, deterministically, and yield a line for each quantity, and the losses.

    Nothing is traced outside of `over_samples`: a breakpoint or a print in a one-ray function sees numbers.
    """
    with jax.disable_jit():
        camera, variables, photos = jax.tree.map(jnp.asarray, (scene.camera(int(pixel.camera)), variables, photos))
        photo = photo_of(photos, pixel.camera)
        behind, progress = background_colour(config.data.background, None), jnp.asarray(step / config.num_steps)
        ray, levels, renderings = render_pixel(model, variables, camera, pixel.xy, behind, photo, key=None, progress=progress)
        rendered = RenderedPixel(ray, levels, renderings, target_colour(pixel, behind), progress)
        yield from _fields('ray', ray, ('origin', 'direction', 'viewdir', 'radius', 'near', 'far'))
        for info, level, rendering in zip(model.LEVELS, levels, renderings, strict=True):
            yield from _fields(
                f'level {info.name}: samples, densities, weights', level, ('s', 't', 'density', 'rgb', 'weights')
            )
            yield from (_line(name, values) for name, values in level.extras.items())
            yield _where(level)
            names = ('rgb', 'acc', 'distance', 'distance_median') if info.has_colour else ('acc', 'distance')
            yield from _fields(f'level {info.name}: composited over {config.data.background}', rendering, names)
        yield 'loss'
        yield _line('target', rendered.target)
        for name, weight in config.losses.items():
            yield _line(f'{weight:g} x {name}', LOSSES[name](rendered))


def _fields(title: str, struct: Any, names: tuple[str, ...]) -> Iterator[str]:
    yield title
    yield from (_line(name, getattr(struct, name)) for name in names)


def _line(name: str, values: Any) -> str:
    array = np.asarray(values)
    finite = array[np.isfinite(array)]
    span = f'{finite.min():.4g} .. {finite.max():.4g}' if finite.size else 'nothing finite'
    first = ' '.join(f'{x:.4g}' for x in array.reshape(-1)[:SHOWN])
    more = ' ...' if array.size > SHOWN else ''
    bad = f', {array.size - finite.size} NOT FINITE' if finite.size < array.size else ''
    return f'  {name:16} {array.dtype} {list(array.shape)!s:9} {span:24} {first}{more}{bad}'


def _where(level: Level) -> str:
    """Say in which interval most of the light stops."""
    weights, t = np.asarray(level.weights), np.asarray(level.t)
    i = int(np.argmax(weights))
    return f'  most light stops in interval {i} of {len(weights)}, t = {t[i]:.4g} .. {t[i + 1]:.4g}: {100 * weights[i]:.1f} %'
