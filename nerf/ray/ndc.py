"""One ray of a camera that looks along -z, in normalised device coordinates: all the space before it is a cube.

The map is a projective one: (x, y, z) -> (-s_x x / z, -s_y y / z, 1 + 2 near / z), with the near plane z = -near on the
cube's face z' = -1 and all that is infinitely far on its face z' = 1. Straight lines stay straight (NeRF, appendix C).
"""

import jax.numpy as jnp
from jaxtyping import Array, Float

from nerf.ray.structs import Ray, Scalar, expect, expect_one_ray

# What is left of t' before 1 where a ray is taken to end: a million times as far as the near plane.
END = 1e-6


def to_ndc(ray: Ray, scale: Float[Array, '2'], near: float = 1.0) -> Ray:
    """Convert a ray to the same line in NDC: t' = 0 on the near plane, 1 infinitely far; `viewdir` stays in the world.

    o moves to the near plane first, o + t d with t = -(near + o_z) / d_z; then
        o' = (-s_x o_x / o_z, -s_y o_y / o_z, 1 + 2 near / o_z)
        d' = (-s_x (d_x / d_z - o_x / o_z), -s_y (d_y / d_z - o_y / o_z), -2 near / o_z)
    The radius is not converted: how wide the cone is in NDC depends on the neighbouring rays.

    Args:
        ray: in the world, towards -z; one with d_z >= 0 gives a line that is finite, but without meaning.
        scale: s, [2]: 2 f_x / width and 2 f_y / height.
        near: distance of the near plane, world.

    Raises:
        ValueError: if given a batch of rays.
    """
    expect_one_ray(ray)
    expect('one NDC scale', scale, 2)
    depth = _depth_per_t(ray)
    origin = ray.origin[:2] + (near + ray.origin[2]) / depth * ray.direction[:2]
    # There o_z = -near, which leaves constants along z'.
    return ray.replace(
        origin=jnp.append(scale * origin / near, -1.0),
        direction=jnp.append(scale * (ray.direction[:2] / depth - origin / near), 2.0),
        near=jnp.zeros_like(ray.near),
        far=jnp.ones_like(ray.far),
    )


def point_to_ndc(point: Float[Array, '3'], scale: Float[Array, '2'], near: float = 1.0) -> Float[Array, '3']:
    """Convert a world point before the cameras (z < 0) to NDC: (-s_x x / z, -s_y y / z, 1 + 2 near / z).

    Raises:
        ValueError: if given a batch of points.
    """
    expect('one point', point, 3, lift='over_samples')
    expect('one NDC scale', scale, 2)
    z = jnp.minimum(point[2], -1e-6)
    return jnp.append(-scale * point[:2] / z, 1 + 2 * near / z)


def point_from_ndc(point: Float[Array, '3'], scale: Float[Array, '2'], near: float = 1.0) -> Float[Array, '3']:
    """Convert a point from NDC to the world: z = 2 near / (z' - 1), x = -x' z / s_x, y = -y' z / s_y.

    A point on the face z' = 1, which is infinitely far, is given a distance of a million times `near`.

    Raises:
        ValueError: if given a batch of points.
    """
    expect('one point', point, 3, lift='over_samples')
    expect('one NDC scale', scale, 2)
    z = -near / jnp.maximum((1 - point[2]) / 2, END)
    return jnp.append(-point[:2] * z / scale, z)


def ndc_to_t(ray: Ray, t_ndc: Scalar, near: float = 1.0) -> Float[Array, '']:
    """Convert t' of an NDC ray to t of its world ray at the same point, finite for all t' in [0, 1].

    From z = -near / (1 - t') follows t = (o_z + near / (1 - t')) / -d_z, with 1 - t' at least 1e-6.

    Raises:
        ValueError: if given a batch of rays.
    """
    expect_one_ray(ray)
    expect('one t_ndc', t_ndc)
    return (ray.origin[2] + near / jnp.maximum(1 - t_ndc, END)) / _depth_per_t(ray)


def _depth_per_t(ray: Ray) -> Array:
    return jnp.maximum(-ray.direction[2], 1e-6)
