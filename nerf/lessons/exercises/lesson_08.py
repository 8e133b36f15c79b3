"""Exercises of notebook 08, the lift: from one ray to two hosts."""

from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nerf import lifting
from nerf.lessons.exercise import Exercise, Mistake, given
from nerf.ray.compositing import composite
from nerf.ray.structs import Level, Ray

LOSSES, WEIGHTS = np.float32([[1.0, 2.0], [3.0, 7.0]]), np.float32([[1.0, 1.0], [1.0, 0.0]])  # of two devices
ROWS, GRADIENTS = np.array([[1, 2], [3, 4], [5, 6]]), np.array([[1, 0], [0, 2], [1, 1]])


def _flat(shapes: Any) -> list[int]:
    """Return shapes as one list of numbers, each followed by 0."""
    return [number for shape in shapes for number in (*tuple(shape), 0)]


def _composite_shapes() -> list[int]:
    """Find the shapes of rgb, acc and distance of 8 rays with 32 intervals, without computing anything."""

    def of(*shape: int) -> jax.ShapeDtypeStruct:
        return jax.ShapeDtypeStruct((8, *shape), jnp.float32)

    level = Level(of(33), of(33), of(32), of(32, 3), of(32))
    rays = Ray(of(3), of(3), of(3), of(), of(), of())
    found = jax.eval_shape(lifting.over_rays(composite, in_axes=(0, 0, None)), level, rays, jnp.ones(3))
    return _flat([found.rgb.shape, found.acc.shape, found.distance.shape])


def _over_two_devices(mean: Callable[..., Any]) -> np.ndarray:
    """Lift a reader's function of ONE device to two; without jit, devices are but an axis."""
    with jax.disable_jit():
        return np.asarray(lifting.over_devices(lambda *own: given(mean(*own)))(LOSSES, WEIGHTS))


def _is_a_good_key(make: Callable[..., Any]) -> list[bool]:
    """Judge whether a key depends on seed, step and ray, and on step and ray each by itself."""

    def bits(seed: int, step: int, ray: int) -> tuple[int, ...]:
        return tuple(np.asarray(jax.random.key_data(given(make(seed, step, ray)))).tolist())

    return [
        bits(0, 1, 2) == bits(0, 1, 2),
        bits(0, 1, 2) != bits(1, 1, 2),
        bits(0, 1, 2) != bits(0, 3, 2),
        bits(0, 1, 2) != bits(0, 1, 4),
        bits(0, 1, 2) != bits(0, 2, 1),
    ]


EXERCISES = {
    '08.1': Exercise(
        against='the shapes that JAX infers',
        truth=_composite_shapes,
        because='The axis of rays comes first in every result; samples have been summed away.',
        mistakes=(
            Mistake([(8, 32, 3), (8, 32), (8, 32)], 'the sum over the 32 intervals is taken inside `composite`.'),
            Mistake([(3,), (), ()], 'these are the shapes of ONE ray: the lift puts the axis of rays before them.'),
            Mistake([(3, 8), (8,), (8,)], 'the lift puts the axis of rays first, not last.'),
        ),
        read=_flat,
        atol=0.1,
    ),
    '08.2': Exercise(
        against='the definition',
        truth=lambda: [-1, 0],
        because='One camera is shared (None), pixels are mapped along their first axis.',
        mistakes=(
            Mistake((0, 0), 'the camera has no axis of rays to map over: it is shared.'),
            Mistake((0, None), 'it is the other way round: the camera is shared, pixels are mapped.'),
            Mistake((None, None), 'then nothing is mapped: at least one argument must be.'),
        ),
        read=lambda axes: [-1 if axis is None else axis for axis in axes],
        atol=0.1,
    ),
    '08.3': Exercise(
        against='brute force (a sum over rows)',
        truth=lambda: sum(np.outer(x, g) for x, g in zip(ROWS, GRADIENTS, strict=True)),
        because='X^T G is the sum of the outer products of all rows: the gradient of a sum is the sum of gradients.',
        mistakes=(
            Mistake(GRADIENTS.T @ ROWS, 'you have G^T X: the kernel maps rows of X to rows of Y, so its gradient is X^T G.'),
            Mistake(ROWS.T @ GRADIENTS / 3, 'you divided by the number of rows: the loss was a sum.'),
            Mistake(np.outer(ROWS[-1], GRADIENTS[-1]), 'that is the last row alone: all rows share the kernel, so add them.'),
        ),
    ),
    '08.4': Exercise(
        against='brute force (a mean over all devices at once)',
        truth=lambda: np.full(2, np.sum(WEIGHTS * LOSSES) / np.sum(WEIGHTS)),
        because='Numerator and denominator are summed each by itself, and divided once, on every device alike.',
        mistakes=(
            Mistake(
                lambda losses, weights: lifting.sum_over_devices(jnp.sum(weights * losses) / jnp.sum(weights)) / 2,
                'you took the mean of means: a device with less weight counts as much as the others.',
            ),
            Mistake(
                lambda losses, weights: jnp.sum(weights * losses) / jnp.sum(weights),
                'each device has a mean of its own: sum over devices.',
            ),
            Mistake(
                lambda losses, weights: lifting.sum_over_devices(jnp.sum(weights * losses)) / 4,
                'you divided by the number of pixels: divide by the sum of their weights, over all devices.',
            ),
        ),
        read=_over_two_devices,
    ),
    '08.5': Exercise(
        against='the properties that a layout must not change',
        truth=lambda: [True] * 5,
        because='No device and no process is in it: the ray of this number has this noise wherever it is computed.',
        mistakes=(
            Mistake(
                lambda seed, step, ray: jax.random.fold_in(jax.random.key(seed), step + ray),
                'step 1 of ray 2 and step 2 of ray 1 have the same key: fold in one after the other, not their sum.',
            ),
            Mistake(
                lambda seed, step, ray: jax.random.fold_in(jax.random.key(seed), step),
                'all rays of a step have the same noise: fold in the number of the ray.',
            ),
            Mistake(lambda seed, step, ray: jax.random.key(seed), 'every step and ray has the same noise.'),
        ),
        read=_is_a_good_key,
        atol=0.1,
    ),
}
