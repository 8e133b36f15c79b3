"""From (camera, pixel) to a ray, and from a point back to its pixel.

Axes are OpenGL's: x right, y up, the camera looks along -z.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import struct

from nerf.ray.lenses import Lens, distort, undistort
from nerf.ray.maths import matmul, norm, normalise
from nerf.ray.ndc import ndc_to_t, to_ndc
from nerf.ray.structs import Array, Ray, expect, expect_one_ray


@struct.dataclass
class Camera:
    """One camera: where it stands, its lens, and the range in which it sees something.

    Attributes:
        camera_to_world: [R|t], [3, 4], world.
        camera_to_pixel: K, [3, 3], px: focal lengths and principal point, for +y down as in images.
        width: [], int32, px.
        height: [], int32, px.
        near: [], t.
        far: [], t.
        lens: distortion; None: a pinhole.
        ndc: scale of normalised device coordinates, [2], see `nerf.ray.ndc`, into which rays are cast (in a scene that all
            cameras see from the front); None: rays stay in the world.
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


def intrinsics(focal_x: float, focal_y: float, centre_x: float, centre_y: float) -> Array:
    """K = [[f_x, 0, c_x], [0, f_y, c_y], [0, 0, 1]], [3, 3], px, as numbers of one camera."""
    expect('one camera, focal_x', focal_x)
    zero, one = jnp.zeros_like(focal_x), jnp.ones_like(focal_x)
    rows = [[focal_x, zero, centre_x], [zero, focal_y, centre_y], [zero, zero, one]]
    return jnp.stack([jnp.stack(row) for row in rows])


def pixel_to_camera(camera_to_pixel: Array, xy: Array) -> Array:
    """Where a pixel's ray meets the plane z = -1: K^-1 (x, y, 1) with y and z turned, [2] -> [3], camera axes."""
    expect('one camera_to_pixel', camera_to_pixel, 3, 3)
    expect('one pixel xy', xy, 2)
    k = camera_to_pixel
    y = (xy[1] - k[1, 2]) / k[1, 1]
    x = (xy[0] - k[0, 2] - k[0, 1] * y) / k[0, 0]
    return jnp.stack([x, -y, -jnp.ones_like(x)])


def cast(camera: Camera, xy: Array) -> Ray:
    """The ray through the image point `xy` [2] px, in world coordinates or, for a camera with `ndc`, in these.

    The direction has length 1 along the optical axis, so t is the depth; of a fisheye, its own length is 1, so t is the
    distance. The cone's radius at t = 1 is r = sqrt(a b) 2 / sqrt(12), with a and b the distances to the rays of the next
    column and the next row: the standard deviation of a disc of this radius is that of the pixel's square (mip-NeRF,
    section 3.1). In NDC it is (a + b) / 2 instead, with distances on the near plane.

    Raises:
        ValueError: if given a batch of cameras or pixels.
    """
    expect('one camera, camera_to_world', camera.camera_to_world, 3, 4)
    rotation, position = camera.camera_to_world[:, :3], camera.camera_to_world[:, 3]
    here = _looks(camera, xy)
    right = _looks(camera, xy + jnp.array([1.0, 0.0]))
    below = _looks(camera, xy + jnp.array([0.0, 1.0]))
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


def _looks(camera: Camera, xy: Array) -> Array:
    """The direction of an image point, [2] -> [3], camera axes."""
    straight = pixel_to_camera(camera.camera_to_pixel, xy)
    if camera.lens is None:
        return straight
    x, y, z = undistort(camera.lens, jnp.stack([straight[0], -straight[1]]))
    return jnp.stack([x, -y, -z])


def _in_ndc(camera: Camera, ray: Ray, right: Array, below: Array) -> Ray:
    found = to_ndc(ray, camera.ndc)
    a, b = (norm(to_ndc(ray.replace(direction=each), camera.ndc).origin - found.origin) for each in (right, below))
    return found.replace(radius=(a + b) / 2 * 2 / jnp.sqrt(12.0), near=camera.near, far=camera.far)


def project(camera: Camera, point: Array) -> tuple[Array, Array]:
    """The image point [2] px at which a world point [3] appears, and its depth [] world (negative: behind).

    Only a fisheye sees what is behind; other lenses show there what is opposite, and far outside of the image their formula
    may lead back into it.
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


def world_distance(camera: Camera, ray: Ray, distance: Array) -> Array:
    """How far from the camera a ray is in the world, [], after `distance` [] = t |d| in the space it was cast into.

    The same number unless that is NDC; infinitely far there is a distance of about a million here.

    Raises:
        ValueError: if given a batch of rays.
    """
    expect_one_ray(ray)
    expect('one distance', distance)
    if camera.ndc is None:
        return distance
    in_world = ray.replace(origin=camera.camera_to_world[:, 3], direction=ray.viewdir)
    return ndc_to_t(in_world, distance / norm(ray.direction))


def distance_to_depth(camera: Camera, viewdir: Array, distance: Array) -> Array:
    """Depth z along the optical axis of a point at `distance` along the unit `viewdir`: z = distance (viewdir . axis), []."""
    expect('one viewdir', viewdir, 3)
    return distance * jnp.sum(viewdir * -camera.camera_to_world[:, 2])
