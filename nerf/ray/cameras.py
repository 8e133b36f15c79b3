"""From (camera, pixel) to a ray, and from a point back to its pixel.

Axes are OpenGL's: x right, y up, the camera looks along -z.
"""

import typing
from typing import Any

import jax
import jax.numpy as jnp
from flax import struct
from jaxtyping import Array, Float

from nerf.ray.lenses import Lens, distort, undistort
from nerf.ray.maths import matmul, norm, normalise
from nerf.ray.ndc import ndc_to_t, to_ndc
from nerf.ray.structs import Ray, Scalar, expect, expect_one_ray


@typing.no_type_check
@struct.dataclass
class Camera:
    """One camera: pose, intrinsics, distortion, and the range of its rays.

    Attributes:
        camera_to_world: [R|t], [3, 4], world.
        camera_to_pixel: K, [3, 3], px: focal lengths and principal point, for +y down as in images.
        width: [], int32, px.
        height: [], int32, px.
        near: [], t.
        far: [], t.
        lens: its distortion; None: a pinhole.
        ndc: scale of normalised device coordinates, [2], see `nerf.ray.ndc`, into which rays are cast (forward-facing
            scenes); None: rays stay in the world.
    """

    camera_to_world: Array
    camera_to_pixel: Array
    width: Array
    height: Array
    near: Array
    far: Array
    lens: Lens | None = None
    ndc: Array | None = None

    def at(self, index: Any) -> 'Camera':
        """Return the camera of this number from stacked cameras, or, for several numbers or a mask, these, stacked."""
        return jax.tree.map(lambda field: field[index], self)


def intrinsics(focal_x: Scalar, focal_y: Scalar, centre_x: Scalar, centre_y: Scalar) -> Float[Array, '3 3']:
    """Make the matrix K = [[f_x, 0, c_x], [0, f_y, c_y], [0, 0, 1]] of one camera, px.

    Raises:
        ValueError: if given the numbers of several cameras.
    """
    expect('one camera, focal_x', focal_x)
    zero, one = jnp.zeros_like(focal_x), jnp.ones_like(focal_x)
    rows = [[focal_x, zero, centre_x], [zero, focal_y, centre_y], [zero, zero, one]]
    return jnp.stack([jnp.stack(row) for row in rows])


def pixel_to_camera(camera_to_pixel: Float[Array, '3 3'], xy: Float[Array, '2']) -> Float[Array, '3']:
    """Compute the direction of a pixel on the plane z = -1: K^-1 (x, y, 1) with y and z turned, camera axes.

    Raises:
        ValueError: if given a batch of cameras or pixels.
    """
    expect('one camera_to_pixel', camera_to_pixel, 3, 3)
    expect('one pixel xy', xy, 2)
    k = camera_to_pixel
    y = (xy[1] - k[1, 2]) / k[1, 1]
    x = (xy[0] - k[0, 2] - k[0, 1] * y) / k[0, 0]
    return jnp.stack([x, -y, -jnp.ones_like(x)])


def cast(camera: Camera, xy: Float[Array, '2']) -> Ray:
    """Cast the ray through the image point `xy` px, in world coordinates or, for a camera with `ndc`, in these.

    The direction has length 1 along the optical axis, so t is the depth; of a fisheye, its own length is 1, so t is the
    distance. The cone's radius at t = 1 is r = sqrt(a b) 2 / sqrt(12), with a and b the distances to the rays of the next
    column and the next row: the standard deviation of a disc of this radius is that of the pixel's square (mip-NeRF,
    section 3.1). In NDC (a + b) / 2 stands for sqrt(a b), with distances on the near plane.

    Raises:
        ValueError: if given a batch of cameras or pixels.
    """
    expect('one camera, camera_to_world', camera.camera_to_world, 3, 4)
    rotation, position = camera.camera_to_world[:, :3], camera.camera_to_world[:, 3]
    here = _camera_direction(camera, xy)
    right = _camera_direction(camera, xy + jnp.array([1.0, 0.0]))
    below = _camera_direction(camera, xy + jnp.array([0.0, 1.0]))
    direction = matmul(rotation, here)
    ray = Ray(
        origin=position,
        direction=direction,
        viewdir=normalise(direction),
        radius=jnp.sqrt(norm(right - here) * norm(below - here)) * 2 / jnp.sqrt(12.0),
        near=camera.near,
        far=camera.far,
    )
    return ray if camera.ndc is None else _in_ndc(camera, ray, matmul(rotation, right), matmul(rotation, below))


def _camera_direction(camera: Camera, xy: Array) -> Array:
    """Compute the direction of an image point, [2] -> [3], camera axes."""
    straight = pixel_to_camera(camera.camera_to_pixel, xy)
    if camera.lens is None:
        return straight
    x, y, z = undistort(camera.lens, jnp.stack([straight[0], -straight[1]]))
    return jnp.stack([x, -y, -z])


def _in_ndc(camera: Camera, ray: Ray, right: Array, below: Array) -> Ray:
    found = to_ndc(ray, camera.ndc)
    a, b = (norm(to_ndc(ray.replace(direction=each), camera.ndc).origin - found.origin) for each in (right, below))
    return found.replace(radius=(a + b) / 2 * 2 / jnp.sqrt(12.0), near=camera.near, far=camera.far)


def project(camera: Camera, point: Float[Array, '3']) -> tuple[Float[Array, '2'], Float[Array, '']]:
    """Project a world point to its image point, px, and compute its depth, world (negative: behind the camera).

    Behind the camera only a fisheye's image point is right; that of other lenses belongs to the opposite point, and far
    outside of the image their formula may lead back into it.

    Raises:
        ValueError: if given a batch of cameras or points.
    """
    expect('one camera, camera_to_world', camera.camera_to_world, 3, 4)
    expect('one point', point, 3)
    rotation, position = camera.camera_to_world[:, :3], camera.camera_to_world[:, 3]
    local = matmul(rotation.T, point - position) * jnp.array([1.0, -1.0, -1.0])
    depth = local[2]
    if camera.lens is not None:
        return matmul(camera.camera_to_pixel, jnp.append(distort(camera.lens, local), 1.0))[:2], depth
    homogeneous = matmul(camera.camera_to_pixel, local)
    return homogeneous[:2] / jnp.where(jnp.abs(depth) > 1e-12, depth, 1e-12), depth


def world_distance(camera: Camera, ray: Ray, distance: Scalar) -> Float[Array, '']:
    """Convert a distance t |d| in the space that the ray was cast into to the distance from the camera in the world.

    The same number unless that space is NDC, whose infinity becomes a distance of about a million.

    Raises:
        ValueError: if given a batch of rays.
    """
    expect_one_ray(ray)
    expect('one distance', distance)
    if camera.ndc is None:
        return distance
    in_world = ray.replace(origin=camera.camera_to_world[:, 3], direction=ray.viewdir)
    return ndc_to_t(in_world, distance / norm(ray.direction))


def distance_to_depth(camera: Camera, viewdir: Float[Array, '3'], distance: Scalar) -> Float[Array, '']:
    """Convert a distance along the unit `viewdir` to depth along the optical axis: z = distance (viewdir . axis).

    Raises:
        ValueError: if given a batch of directions.
    """
    expect('one viewdir', viewdir, 3)
    return distance * jnp.sum(viewdir * -camera.camera_to_world[:, 2])
