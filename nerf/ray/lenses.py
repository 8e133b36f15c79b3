"""Lens distortion: OpenCV's model and its fisheye, forward and back.

Axes are those of images: x right, y down, the camera looks along +z. Both models map a direction to a point of the
plane z = 1, before focal lengths and principal point; back, their equations are solved by Newton's method.
"""

import typing
from collections.abc import Callable

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from nerf.ray.maths import norm
from nerf.ray.structs import expect

# Newton's steps on the way out from the centre, and at its end: as few as leave nothing but rounding in the lenses of the
# tests, some of which are about to fold at the image's edge.
WAY, STEPS = 4, 5
# Tangent of the angle, 89.4 degrees, beyond which only a fisheye sees; its powers are far from overflowing.
WIDEST = 100.0


@typing.no_type_check
@struct.dataclass
class Lens:
    """The distortion of a lens: its difference from a pinhole.

    Attributes:
        coefficients: k1, k2, p1, p2, k3, k4, k5, k6, [8], in OpenCV's order: rational radial and tangential distortion;
            for a fisheye, k1, k2, k3, k4 in this order and four that do not count.
        is_fisheye: [], int32, 1 for a fisheye.
    """

    coefficients: Array
    is_fisheye: Array


def distort(lens: Lens, direction: Float[Array, '3']) -> Float[Array, '2']:
    """Map a `direction` of any length to the distorted point of the plane z = 1.

    With x = d_x / d_z, y = d_y / d_z and r^2 = x^2 + y^2:
        x' = x (1 + k1 r^2 + k2 r^4 + k3 r^6) / (1 + k4 r^2 + k5 r^4 + k6 r^6) + 2 p1 x y + p2 (r^2 + 2 x^2)
        y' = y (1 + k1 r^2 + k2 r^4 + k3 r^6) / (1 + k4 r^2 + k5 r^4 + k6 r^6) + p1 (r^2 + 2 y^2) + 2 p2 x y
    A fisheye maps the angle theta from the axis to theta' = theta (1 + k1 theta^2 + k2 theta^4 + k3 theta^6 + k4 theta^8)
    from the centre, 90 degrees or more too (equidistant, with Kannala and Brandt's polynomial).

    Raises:
        ValueError: if given a batch of lenses or directions.
    """
    expect('one lens, coefficients', lens.coefficients, 8)
    expect('one direction', direction, 3)
    coefficients = list(lens.coefficients)
    is_fisheye, ahead = lens.is_fisheye > 0, jnp.array([0.0, 0.0, 1.0])
    # The model that is not used is given the axis: both are differentiated, and it may be singular in this direction.
    flat = _distort_plane(coefficients, jnp.where(is_fisheye, ahead, direction))
    round_ = _distort_angle(coefficients, jnp.where(is_fisheye, direction, ahead))
    return jnp.where(is_fisheye, round_, flat)


def undistort(lens: Lens, xy: Float[Array, '2']) -> Float[Array, '3']:
    """Map a distorted point of the plane z = 1 back to its direction: the inverse of `distort`.

    It is (x, y, 1) or, for a fisheye, the unit vector (sin(theta) x' / theta', sin(theta) y' / theta', cos(theta)). Without
    distortion, x and y come back to the last bit. Outside of the lens's range the direction is finite, but without meaning.

    Raises:
        ValueError: if given a batch of lenses or points.
    """
    expect('one lens, coefficients', lens.coefficients, 8)
    expect('one point', xy, 2)
    coefficients, is_fisheye = list(lens.coefficients), lens.is_fisheye > 0
    flat = _undistort_plane(coefficients, jnp.where(is_fisheye, 0.0, xy))
    round_ = _undistort_angle(coefficients, jnp.where(is_fisheye, xy, 0.0))
    return jnp.where(is_fisheye, round_, flat)


def _distort_plane(coefficients: list[Array], direction: Array) -> Array:
    bent, *_ = _bend_plane(coefficients, jnp.clip(direction[:2] / _not_zero(direction[2]), -WIDEST, WIDEST))
    return bent


def _distort_angle(coefficients: list[Array], direction: Array) -> Array:
    off_axis, along_axis = norm(direction[:2]), _not_zero(direction[2])
    bent, _ = _bend_angle(coefficients, jnp.arctan2(off_axis, along_axis))
    is_off = off_axis > 0
    return direction[:2] * jnp.where(is_off, bent / jnp.where(is_off, off_axis, 1.0), 1 / along_axis)


def _undistort_plane(coefficients: list[Array], bent: Array) -> Array:
    def step(at: Array, goal: Array) -> Array:
        bent, a, b, c = _bend_plane(coefficients, at)
        x, y = bent - goal
        change = jnp.stack([c * x - b * y, a * y - b * x]) / _not_zero(a * c - b * b)
        return jnp.clip(jnp.nan_to_num(at - change), -WIDEST, WIDEST)

    return jnp.append(_solve(step, bent), 1.0)


def _undistort_angle(coefficients: list[Array], xy: Array) -> Array:
    bent = norm(xy)

    def step(theta: Array, goal: Array) -> Array:
        bent, slope = _bend_angle(coefficients, theta)
        return jnp.clip(jnp.nan_to_num(theta - (bent - goal) / _not_zero(slope)), 0.0, jnp.pi)

    theta = _solve(step, bent)
    is_off = bent > 0
    shrink = jnp.where(is_off, jnp.sin(theta) / jnp.where(is_off, bent, 1.0), 1.0)
    return jnp.append(shrink * xy, jnp.cos(theta))


def _bend_plane(coefficients: list[Array], at: Array) -> tuple[Array, Array, Array, Array]:
    """Distort the point x, y, [2], and compute the derivatives dx'/dx, dx'/dy = dy'/dx and dy'/dy."""
    k1, k2, p1, p2, k3, k4, k5, k6 = coefficients
    x, y = at
    r2 = x * x + y * y
    below = 1 + r2 * (k4 + r2 * (k5 + r2 * k6))
    radial = (1 + r2 * (k1 + r2 * (k2 + r2 * k3))) / below
    growth = (k1 + r2 * (2 * k2 + r2 * 3 * k3) - radial * (k4 + r2 * (2 * k5 + r2 * 3 * k6))) / below  # d radial / d r2
    tangential = jnp.stack([2 * p1 * x * y + p2 * (r2 + 2 * x * x), p1 * (r2 + 2 * y * y) + 2 * p2 * x * y])
    a = radial + 2 * x * x * growth + 2 * p1 * y + 6 * p2 * x
    b = 2 * x * y * growth + 2 * p1 * x + 2 * p2 * y
    c = radial + 2 * y * y * growth + 6 * p1 * y + 2 * p2 * x
    return at * radial + tangential, a, b, c


def _bend_angle(coefficients: list[Array], theta: Array) -> tuple[Array, Array]:
    """Map the angle theta to its distance from the centre, [], and compute the derivative."""
    k1, k2, k3, k4 = coefficients[:4]
    q = theta * theta
    return theta * (1 + q * (k1 + q * (k2 + q * (k3 + q * k4)))), 1 + q * (3 * k1 + q * (5 * k2 + q * (7 * k3 + q * 9 * k4)))


def _solve(step: Callable[[Array, Array], Array], goal: Array) -> Array:
    """Solve by a Newton's `step` (from, goal), starting at 0.

    The goal moves out from the centre first: far from it, formulas that fit a lens within its image turn back, and a step
    too far would not return. Gradients pass the last step alone, which is the implicit function theorem.
    """
    stop = jax.lax.stop_gradient

    def move(i: Array, at: Array) -> Array:
        return stop(step(at, jnp.minimum((i + 1) / WAY, 1.0) * goal))

    return step(stop(jax.lax.fori_loop(0, WAY + STEPS - 1, move, jnp.zeros_like(goal))), goal)


def _not_zero(x: Array) -> Array:
    return jnp.where(jnp.abs(x) > 1e-12, x, 1e-12)
