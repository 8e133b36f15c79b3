"""Pictures of the built-in scene from rays in plain numpy, made apart from `nerf.ray`, to compare loaded cameras with.

A picture is [height, width, 4] in [0, 1], premultiplied: the mean over a grid of rays in each pixel.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np

from nerf.data.built_in.still_life import trace
from nerf.lifting import over_rays
from nerf.ray.cameras import Camera, cast
from nerf.ray.structs import Ray

SAMPLES = 4  # per pixel and axis, of images at full size
BLOCK = 4096  # rays traced at once, so that it is compiled once

Rays = tuple[np.ndarray, np.ndarray]  # origins and directions, [n, 3] each


@jax.jit
@over_rays
def _trace(origin, direction):
    viewdir = direction / jnp.linalg.norm(direction)
    surface = trace(Ray(origin, direction, viewdir, radius=jnp.ones(()), near=jnp.zeros(()), far=jnp.ones(())))
    return jnp.append(surface.rgb, surface.alpha), surface.distance


_cast = jax.jit(over_rays(cast, in_axes=(None, 0)))


def traced(rays: Rays) -> tuple[np.ndarray, np.ndarray]:
    """Colour and alpha [n, 4] and distance [n] of what each ray meets."""
    origins, directions = rays
    parts = []
    for start in range(0, len(origins), BLOCK):
        wanted = np.arange(start, start + BLOCK).clip(max=len(origins) - 1)
        parts.append(_trace(origins[wanted].astype(np.float32), directions[wanted].astype(np.float32)))
    colours, distances = (np.concatenate(each)[: len(origins)] for each in zip(*parts, strict=True))
    return colours, distances


def picture(rays: Rays, camera: Camera) -> np.ndarray:
    """What a camera sees along `rays` through its `grid`."""
    return traced(rays)[0].reshape(int(camera.height), int(camera.width), -1, 4).mean(axis=2)


def grid(camera: Camera, samples: int) -> np.ndarray:
    """The points of the image, px, through which rays are cast, pixel by pixel: [n, 2]."""
    steps = (np.arange(samples) + 0.5) / samples
    rows, columns, y, x = np.meshgrid(np.arange(int(camera.height)), np.arange(int(camera.width)), steps, steps, indexing='ij')
    return np.stack([columns + x, rows + y], axis=-1).reshape(-1, 2)


def true_rays(camera: Camera) -> Rays:
    """The rays of one camera, float64, by the formulas of OpenCV's documentation inverted without derivatives."""
    pose, lens = np.asarray(camera.camera_to_world, np.float64), np.asarray(camera.camera_to_pixel, np.float64)
    xy = (grid(camera, SAMPLES) - lens[:2, 2]) / lens[[0, 1], [0, 1]]
    ahead = np.ones((len(xy), 1))
    if camera.lens is None:
        directions = np.append(xy, ahead, axis=1)
    elif camera.lens.is_fisheye:
        directions = _unbent_by_angle(xy, np.asarray(camera.lens.coefficients, np.float64))
    else:
        directions = np.append(_unbent(xy, np.asarray(camera.lens.coefficients, np.float64)), ahead, axis=1)
    directions = directions * [1, -1, -1] @ pose[:, :3].T
    return np.broadcast_to(pose[:, 3], directions.shape), directions


def _unbent(bent: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Fixed-point iteration: x = (x' - tangential(x)) / radial(x)."""
    k1, k2, p1, p2, k3, k4, k5, k6 = coefficients
    x, y = bent.T
    for _ in range(200):
        r2 = x * x + y * y
        radial = (1 + k1 * r2 + k2 * r2**2 + k3 * r2**3) / (1 + k4 * r2 + k5 * r2**2 + k6 * r2**3)
        x, y = (
            (bent[:, 0] - 2 * p1 * x * y - p2 * (r2 + 2 * x * x)) / radial,
            (bent[:, 1] - p1 * (r2 + 2 * y * y) - 2 * p2 * x * y) / radial,
        )
    return np.stack([x, y], axis=1)


def _unbent_by_angle(bent: np.ndarray, coefficients: np.ndarray) -> np.ndarray:
    """Bisection: theta in [0, 2] with theta (1 + k1 theta^2 + ...) = |x'|."""
    radius = np.linalg.norm(bent, axis=1)
    low, high = np.zeros_like(radius), np.full_like(radius, 2.0)
    for _ in range(60):
        theta = (low + high) / 2
        powers = [k * theta ** (2 * i + 2) for i, k in enumerate(coefficients[:4])]
        is_low = theta * (1 + sum(powers)) < radius
        low, high = np.where(is_low, theta, low), np.where(is_low, high, theta)
    sine = np.sin(theta) / np.maximum(radius, 1e-12)
    return np.stack([sine * bent[:, 0], sine * bent[:, 1], np.cos(theta)], axis=1)


def cast_rays(camera: Camera, samples: int = SAMPLES, is_ndc: bool = False) -> Rays:
    """The rays of one loaded camera, as training casts them, in the world or in its NDC."""
    rays = _cast(camera if is_ndc else camera.replace(ndc=None), grid(camera, samples).astype(np.float32))
    return np.asarray(rays.origin), np.asarray(rays.direction)


def straight(seen: np.ndarray) -> np.ndarray:
    """A picture as an image file holds it: straight colours, uint8."""
    alpha = seen[..., 3:]
    return np.rint(255 * np.append(seen[..., :3] / np.maximum(alpha, 1e-6), alpha, axis=-1)).astype(np.uint8)


def over(seen: np.ndarray, background: int | None) -> np.ndarray:
    """A picture as a format keeps it that has no alpha, but a grey `background` of 0 to 255; None: as it is."""
    if background is None:
        return seen
    return np.append(seen[..., :3] + background / 255 * (1 - seen[..., 3:]), np.ones_like(seen[..., 3:]), axis=-1)


def colours_apart(image: np.ndarray, seen: np.ndarray) -> float:
    """The share of pixels in which a premultiplied uint8 image and a picture differ by more than 3 of 255.

    Rounding moves a channel by 1; one of 16 rays that meets something else by more than 3, unless it looks alike.
    """
    return float((np.abs(image - 255 * seen).max(axis=-1) > 3).mean())


def silhouettes_apart(image: np.ndarray, seen: np.ndarray, background: int | None = None) -> float:
    """The share of pixels which one of the two has on the object and the other beside it.

    Without alpha, on the object is what has not the colour of the background.
    """
    is_object = image[..., 3] > 0 if background is None else (image[..., :3] != background).any(axis=-1)
    return float((is_object != (seen[..., 3] > 0)).mean())


def by_camera(cameras: Camera, function: Callable) -> list:
    """What a function says of each of stacked cameras."""
    count = len(cameras.width)
    return [function(jax.tree.map(lambda field, i=i: np.asarray(field)[i], cameras)) for i in range(count)]
