"""The structs of one ray, from its pixel to its colour: every field with its shape and unit."""

import typing
from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Float

Array = jax.Array
Scalar = Float[Array, ''] | float | int  # one number, as an array or as Python's


@typing.no_type_check
@struct.dataclass
class Ray:
    """One ray (or cone) of a pixel: r(t) = o + t d.

    Attributes:
        origin: o, [3], world.
        direction: d, [3], world per t, NOT normalised (a pinhole ray reaches depth 1 at t = 1).
        viewdir: [3], unit, direction / its length, in the world, kept through NDC.
        radius: r, [], world per t, of the cone at t = 1: pixel width x 2 / sqrt(12).
        near: t_n, [], t.
        far: t_f, [], t.
    """

    origin: Array
    direction: Array
    viewdir: Array
    radius: Array
    near: Array
    far: Array


@typing.no_type_check
@struct.dataclass
class Gaussian:
    """One segment of a cone, as the normal distribution with the same first two moments.

    Attributes:
        mean: mu, [3], world.
        cov: Sigma, [3, 3], world^2.
    """

    mean: Array
    cov: Array


@typing.no_type_check
@struct.dataclass
class Level:
    """One pass along the ray (coarse, fine, proposal): n intervals, with density, colour and weight of each.

    Attributes:
        s: fenceposts of the intervals, [n+1], in [0, 1].
        t: the same, as t in [near, far].
        density: sigma, [n], 1 / world.
        rgb: c, [n, 3], sRGB; zeros in a level without colour.
        weights: w, [n], probability that the ray stops in i.
        extras: other quantities of each interval by name, [n] or [n, k]: composited by the weights into `Rendering.extras`.
        sample_at: the share of its interval at which each sample lies: 0.5, the middle, or 0, the start (NeRF's points).
    """

    s: Array
    t: Array
    density: Array
    rgb: Array
    weights: Array
    extras: dict[str, Array] = struct.field(default_factory=dict)
    sample_at: float = struct.field(pytree_node=False, default=0.5)


@typing.no_type_check
@struct.dataclass
class Rendering:
    """The composited values of one level of one ray.

    Attributes:
        rgb: C, [3], sRGB, over the background.
        acc: [], accumulated opacity, the probability that the ray stops at all: sum_i w_i.
        distance: [], world, mean distance along the ray, given it stops; `far` for an empty ray.
        distance_median: [], world, the distance by which half of the light has stopped; `far` for a ray with acc < 1/2.
        extras: sum_i w_i x_i of each of the level's extras by name, [] or [k].
    """

    rgb: Array
    acc: Array
    distance: Array
    distance_median: Array
    extras: dict[str, Array] = struct.field(default_factory=dict)


@typing.no_type_check
@struct.dataclass
class Pixel:
    """One pixel of a photograph.

    Attributes:
        camera: [], int32, index of its camera, which is also that of its photo.
        xy: [2], px, column and row; the centre of an image's first pixel is (0.5, 0.5).
        rgba: [4], uint8, premultiplied sRGB colour and alpha.
        weight: [], how much this pixel counts in the loss (1, or its area).
    """

    camera: Array
    xy: Array
    rgba: Array
    weight: Array


@typing.no_type_check
@struct.dataclass
class RenderedPixel:
    """One training pixel after rendering: the argument of every loss.

    Attributes:
        ray: of the pixel.
        levels: of the model, from coarse to fine.
        renderings: of these levels, composited over the pixel's background.
        target: colour of the photograph over the same background, [3], sRGB.
        progress: share of training done, [].
    """

    ray: Ray
    levels: Sequence[Level]
    renderings: Sequence[Rendering]
    target: Array
    progress: Array | float


def expect(what: str, value: Any, *shape: int | None, lift: str = 'over_rays') -> None:
    """Refuse a batch: raise unless `value` has this shape (None: any length).

    Raises:
        ValueError: with the shape that was expected, the one found, and the lift to use.
    """
    found = jnp.shape(value)
    if len(found) != len(shape) or any(n not in (None, m) for n, m in zip(shape, found, strict=True)):
        lengths = ', '.join('n' if n is None else str(n) for n in shape)
        expected = f'({lengths},)' if len(shape) == 1 else f'({lengths})'
        raise ValueError(f'expected {what} of shape {expected}, got {found}: lift with {lift}')


def expect_one_ray(ray: Ray) -> None:
    """Refuse a batch of rays: raise unless every field of `ray` has the shape of a single ray's.

    Raises:
        ValueError: `expected one ray, origin of shape (3,), got (10, 3): lift with over_rays`.
    """
    for name, shape in (('origin', (3,)), ('direction', (3,)), ('viewdir', (3,)), ('radius', ()), ('near', ()), ('far', ())):
        expect(f'one ray, {name}', getattr(ray, name), *shape)
