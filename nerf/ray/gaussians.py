"""Segments of one ray as Gaussians (mip-NeRF, section 3.1), and what becomes of them in a contracted space."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.ray.maths import MACHINE_EPS
from nerf.ray.structs import Gaussian, Scalar, expect


def along_ray(
    t_mean: Scalar,
    t_var: Scalar,
    r_var: Scalar,
    origin: Float[Array, '3'],
    direction: Float[Array, '3'],
) -> Gaussian:
    """Convert a Gaussian given along and across the ray to world axes (mip-NeRF, equation 8).

    mu = o + t_mean d, Sigma = t_var d d^T + r_var (I - d d^T / |d|^2); t_mean in t, t_var in t^2, r_var in world^2. Only the
    second term is divided by |d|^2: d is not normalised, and moments along the ray are given in t, across it in the world.

    Raises:
        ValueError: if given several segments or rays.
    """
    expect('one segment, t_mean', t_mean, lift='over_samples')
    expect('one origin', origin, 3, lift='over_samples, over_rays')
    outer = direction[:, None] * direction[None, :]
    across = jnp.eye(3) - outer / jnp.maximum(jnp.sum(direction**2), MACHINE_EPS**2)
    return Gaussian(mean=origin + t_mean * direction, cov=t_var * outer + r_var * across)


def frustum_to_gaussian(
    t0: Scalar,
    t1: Scalar,
    origin: Float[Array, '3'],
    direction: Float[Array, '3'],
    radius: Scalar,
) -> Gaussian:
    """Convert the conical frustum between t0 and t1 of a cone with radius r t to the Gaussian of equal moments.

    With t_mu = (t0 + t1) / 2 and t_delta = (t1 - t0) / 2 (mip-NeRF, equation 7, whose form does not cancel):
    t_mean = t_mu + 2 t_mu t_delta^2 / (3 t_mu^2 + t_delta^2),
    t_var = t_delta^2 / 3 - 4 t_delta^4 (12 t_mu^2 - t_delta^2) / (15 (3 t_mu^2 + t_delta^2)^2),
    r_var = r^2 (t_mu^2 / 4 + 5 t_delta^2 / 12 - 4 t_delta^4 / (15 (3 t_mu^2 + t_delta^2))).
    An empty frustum (t0 = t1, also both 0) is a point.

    Raises:
        ValueError: if given several intervals or rays.
    """
    expect('one interval, t0', t0, lift='over_samples')
    expect('one ray, origin', origin, 3)
    middle = 0.5 * (t0 + t1)
    half = 0.5 * (t1 - t0)
    square = half**2
    # Of 3 t_mu^2 + t_delta^2 only ratios are needed: they stay in [0, 1] also where everything is 0.
    total = 3 * middle**2 + square
    share = square / jnp.where(total > 0, total, 1.0)
    t_mean = middle + 2 * middle * share
    t_var = square / 3 - (4 / 15) * share**2 * (12 * middle**2 - square)
    r_var = radius**2 * (middle**2 / 4 + (5 / 12) * square - (4 / 15) * square * share)
    return along_ray(t_mean, t_var, r_var, origin, direction)


def cylinder_to_gaussian(
    t0: Scalar,
    t1: Scalar,
    origin: Float[Array, '3'],
    direction: Float[Array, '3'],
    radius: Scalar,
) -> Gaussian:
    """Convert the cylinder between t0 and t1 with radius r to the Gaussian of equal moments.

    t_mean = (t0 + t1) / 2, t_var = (t1 - t0)^2 / 12, r_var = r^2 / 4. For rays that do not widen (NDC).

    Raises:
        ValueError: if given several intervals or rays.
    """
    expect('one interval, t0', t0, lift='over_samples')
    expect('one ray, origin', origin, 3)
    return along_ray(0.5 * (t0 + t1), (t1 - t0) ** 2 / 12, radius**2 / 4, origin, direction)


def cube_to_gaussian(point: Float[Array, '3'], width: Scalar) -> Gaussian:
    """Return the Gaussian with the moments of a cube around a point, covariance width^2 / 12 I.

    Raises:
        ValueError: if given several points.
    """
    expect('one point', point, 3, lift='over_samples')
    return Gaussian(mean=point, cov=width**2 / 12 * jnp.eye(3))


def push_forward(function: Callable[[Float[Array, '3']], Float[Array, '3']], gaussian: Gaussian) -> Gaussian:
    """Map a Gaussian through a function f linearised at its mean: f(mu), J Sigma J^T (mip-NeRF 360, on parameterising scenes).

    Raises:
        ValueError: if given several Gaussians.
    """
    expect('one Gaussian, mean', gaussian.mean, 3, lift='over_samples')
    jacobian = jax.jacfwd(function)(gaussian.mean)
    # Products of 3 x 3 matrices are written out: lifted, they stay elementwise instead of many tiny matrix products.
    half = jnp.sum(jacobian[:, :, None] * gaussian.cov[None, :, :], axis=1)
    return Gaussian(function(gaussian.mean), jnp.sum(half[:, None, :] * jacobian[None, :, :], axis=2))


RAY_SHAPES = {'cone': frustum_to_gaussian, 'cylinder': cylinder_to_gaussian}
