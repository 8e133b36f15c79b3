"""The volume rendering equation of one ray: from densities to the pixel's colour, opacity and distance."""

import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.ray.histogram import quantile
from nerf.ray.maths import MACHINE_EPS, exclusive_cumsum, norm
from nerf.ray.structs import Level, Ray, Rendering, expect, expect_one_ray


def lengths(t: Float[Array, 'posts'], direction: Float[Array, '3'], is_endless: bool = False) -> Float[Array, 'posts-1']:
    """Compute the lengths of the intervals between fenceposts, delta_i = (t_{i+1} - t_i) |d|, world.

    The factor |d| turns lengths in t into world-space lengths, as directions are not normalised; density is per world unit.
    With `is_endless` the last length is 1e10 |d|, so that whatever density the last interval has stops the ray (NeRF's code;
    mip-NeRF's intervals are all finite).

    Raises:
        ValueError: if given a batch of rays.
    """
    expect('one row of t', t, None)
    expect('one direction', direction, 3)
    delta = t[1:] - t[:-1]
    return (delta.at[-1].set(1e10) if is_endless else delta) * norm(direction)


def transmittance(density: Float[Array, 'n'], delta: Float[Array, 'n']) -> Float[Array, 'n']:
    """Compute the transmittance, the probability that the ray reaches each interval, T_i = exp(-sum_{j<i} sigma_j delta_j).

    Source: NeRF, equation 3.

    Raises:
        ValueError: if given a batch of rays.
    """
    expect('one row of density', density, None)
    return jnp.exp(-exclusive_cumsum(density * delta))


def weights(density: Float[Array, 'n'], delta: Float[Array, 'n'], opaque_background: bool = False) -> Float[Array, 'n']:
    """Compute rendering weights, the probability to stop in each interval: w_i = T_i (1 - exp(-sigma_i delta_i)).

    They sum to at most 1, and to 1 exactly where an interval is opaque; gradients are finite for any sigma delta >= 0. With
    `opaque_background` (mip-NeRF 360) all light that reaches the last interval stops there. Source: NeRF, equation 3.

    Raises:
        ValueError: if given a batch of rays.
    """
    alpha = -jnp.expm1(-density * delta)
    if opaque_background:
        alpha = alpha.at[-1].set(1.0)
    return transmittance(density, delta) * alpha


def sample_positions(level: Level) -> Float[Array, 'n']:
    """Return t of each sample: t_i + a (t_{i+1} - t_i), with a = `level.sample_at`.

    Raises:
        ValueError: if given a batch of rays.
    """
    expect('one row of t', level.t, None)
    return (1 - level.sample_at) * level.t[:-1] + level.sample_at * level.t[1:]


def composite(level: Level, ray: Ray, background: Float[Array, '3']) -> Rendering:
    """Composite one level into the pixel's colour, opacity and distances: C = sum_i w_i c_i + (1 - sum_i w_i) c_bg.

    The mean distance is |d| sum_i w_i t_i / sum_i w_i with t_i the samples' positions; the median is where the accumulated
    weight passes 1/2. Both are in world units, lie in the ray's range, and are `far` for an empty ray.

    Raises:
        ValueError: if given a batch of rays.
    """
    expect_one_ray(ray)
    expect('one row of weights', level.weights, None)
    w = level.weights
    acc = jnp.sum(w)
    rgb = jnp.sum(w[:, None] * level.rgb, axis=0) + (1 - acc) * background
    stops = acc > MACHINE_EPS
    mean = jnp.where(stops, jnp.sum(w * sample_positions(level)) / jnp.where(stops, acc, 1.0), ray.far)
    median = quantile(0.5, level.t, w, ray.far)
    to_world = norm(ray.direction)
    extras = {name: jnp.tensordot(w, values, 1) for name, values in level.extras.items()}
    return Rendering(rgb, acc, distance=mean * to_world, distance_median=median * to_world, extras=extras)
