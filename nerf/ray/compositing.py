"""The volume rendering equation of one ray: from densities to what arrives at the pixel."""

import jax.numpy as jnp

from nerf.ray.maths import MACHINE_EPS, exclusive_cumsum, norm
from nerf.ray.stepfun import quantile
from nerf.ray.structs import Array, Level, Ray, Rendering, expect, expect_one_ray


def lengths(t: Array, direction: Array) -> Array:
    """Lengths of the intervals between fenceposts, delta_i = (t_{i+1} - t_i) |d|, [n+1] -> [n], world."""
    expect('one row of t', t, None)
    expect('one direction', direction, 3)
    return (t[1:] - t[:-1]) * norm(direction)


def lengths_between_points(t: Array, direction: Array) -> Array:
    """Lengths that NeRF gives its points, delta_i = (t_{i+1} - t_i) |d|, [n] -> [n], world; the last is 1e10.

    Whatever density the last point has therefore stops the ray (NeRF's code; mip-NeRF's intervals are all finite).
    """
    endless = jnp.full((1,), 1e10) * norm(direction)
    return jnp.concatenate([lengths(t, direction), endless])


def transmittance(density: Array, delta: Array) -> Array:
    """Probability to arrive at each interval, T_i = exp(-sum_{j<i} sigma_j delta_j), [n] -> [n] (NeRF, equation 3)."""
    expect('one row of density', density, None)
    return jnp.exp(-exclusive_cumsum(density * delta))


def weights(density: Array, delta: Array, opaque_background: bool = False) -> Array:
    """Probability to stop in each interval, w_i = T_i (1 - exp(-sigma_i delta_i)), [n] -> [n] (NeRF, equation 3).

    Sums to at most 1, and to 1 exactly where something is opaque; gradients are finite for any sigma delta >= 0. With
    `opaque_background` (mip-NeRF 360) whatever arrives at the last interval stops there.
    """
    alpha = -jnp.expm1(-density * delta)
    if opaque_background:
        alpha = alpha.at[-1].set(1.0)
    return transmittance(density, delta) * alpha


def composite(level: Level, ray: Ray, background: Array) -> Rendering:
    """What arrives: C = sum_i w_i c_i + (1 - sum_i w_i) c_bg, with how much and from how far.

    Mean distance: |d| sum_i w_i t_i / sum_i w_i with t_i the interval's middle (the point, in NeRF), median: where the
    accumulated weight passes 1/2. Both are in world units, lie in the ray's range, and are `far` for an empty ray.

    Raises:
        ValueError: if given a batch of rays.
    """
    expect_one_ray(ray)
    expect('one row of weights', level.weights, None)
    w, t = level.weights, level.t
    acc = jnp.sum(w)
    rgb = jnp.sum(w[:, None] * level.rgb, axis=0) + (1 - acc) * background
    is_points = t.shape == w.shape
    middles = t if is_points else 0.5 * (t[1:] + t[:-1])
    posts = jnp.append(t, jnp.maximum(ray.far, t[-1])) if is_points else t
    stops = acc > MACHINE_EPS
    mean = jnp.where(stops, jnp.sum(w * middles) / jnp.where(stops, acc, 1.0), ray.far)
    median = quantile(0.5, posts, w, ray.far)
    to_world = norm(ray.direction)
    return Rendering(rgb=rgb, acc=acc, distance=mean * to_world, distance_median=median * to_world)
