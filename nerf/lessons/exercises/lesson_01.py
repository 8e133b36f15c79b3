"""Exercises of notebook 01, a pixel sees a line."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

from nerf.data import procedural
from nerf.data.built_in.still_life import trace
from nerf.lessons.exercise import Exercise, Mistake, call
from nerf.ray.cameras import Camera, cast, project

FOCAL = 0.5 * 64 / math.tan(0.5 * procedural.CAMERA_ANGLE_X)
PIXELS = np.random.default_rng(0).uniform(0, 64, (100, 2)).astype(np.float32)


def _camera(name: str) -> Camera:
    names, _, cameras = procedural.views(64)
    return jax.tree.map(jnp.asarray, cameras.at(names.index(name)))


def _surface_point() -> np.ndarray:
    """Return the exact surface point that pixel (26.5, 38.5) of train_r_25 sees."""
    ray = cast(_camera('train_r_25'), jnp.array([26.5, 38.5]))
    return np.asarray(ray.origin + trace(ray).distance * ray.viewdir)


def _rays(my_cast: Callable[..., Any]) -> np.ndarray:
    """Cast 100 pixels by a reader's function: [100, 2, 3]."""
    camera = _camera('train_r_25')
    pose, k = np.asarray(camera.camera_to_world), np.asarray(camera.camera_to_pixel)
    return np.stack([call(my_cast, pose, k, xy) for xy in PIXELS])


def _my_cast(turn: tuple[float, float, float], shift: float = 0.0, transposed: bool = False, unit: bool = False) -> Callable:
    """Make an answer to 01.1: axes turned by these signs, pixels moved, R transposed, or d normalised."""

    def answer(pose: np.ndarray, k: np.ndarray, xy: np.ndarray) -> np.ndarray:
        local = np.array(turn) * (np.linalg.inv(k) @ np.array([xy[0] + shift, xy[1] + shift, 1.0]))
        d = (pose[:, :3].T if transposed else pose[:, :3]) @ local
        return np.stack([pose[:, 3], d / np.linalg.norm(d) if unit else d])

    return answer


def _seen() -> np.ndarray:
    """Return where test_r_6 sees the surface point, px."""
    return np.asarray(project(_camera('test_r_6'), jnp.asarray(_surface_point()))[0])


EXERCISES = {
    '01.1': Exercise(
        against='`cast`, whose geometry the tests check against a ray caster that shares no code with it',
        truth=lambda: _rays(_my_cast((1, -1, -1))),
        because='K^-1 (x, y, 1), y and z turned, then R: the origin is the last column of the pose.',
        mistakes=(
            Mistake(_my_cast((1, 1, -1)), 'y points up in cameras and down in images: turn its sign.'),
            Mistake(_my_cast((1, -1, 1)), 'cameras look along -z: turn the sign of z as well.'),
            Mistake(_my_cast((1, -1, -1), shift=0.5), 'you added half a pixel: centres are at halves already.'),
            Mistake(_my_cast((1, -1, -1), unit=True), 'you normalised d: it has length 1 along the optical axis only.'),
            Mistake(_my_cast((1, -1, -1), transposed=True), 'you used R^T: R of camera_to_world maps the camera to the world.'),
        ),
        read=_rays,
        atol=1e-5,
    ),
    '01.2': Exercise(
        against='closed form',
        truth=lambda: procedural.CAMERA_ANGLE_X,
        because='2 atan(w / 2f) = 0.6911, the field of view of the public Blender scenes.',
        mistakes=(
            Mistake(math.degrees(procedural.CAMERA_ANGLE_X), 'that is in degrees: give radians.'),
            Mistake(procedural.CAMERA_ANGLE_X / 2, 'that is the angle from the axis to the edge: double it.'),
            Mistake(math.atan(64 / FOCAL), 'you took atan(w / f): each half has tan = (w / 2) / f.'),
            Mistake(64 / FOCAL, 'that is the width at depth 1, the tangent: take its arc.'),
        ),
    ),
    '01.3': Exercise(
        against='exact geometry',
        truth=_surface_point,
        because='Rays of two views fix the point, and more views make it robust against noise.',
        mistakes=(
            Mistake(
                (-0.69435, -0.00183, 0.06492),
                'you put the distance in place of t: |d| is 1.0046, so o + distance d is beyond it.',
            ),
            Mistake((0.0, 0.0, 0.0), 'that is the point that all cameras look at, not the one that this pixel sees.'),
            Mistake(
                np.array([-3.3824, -1.0791, 1.8425]),
                'that is the position of the camera: t = 0 of the ray. Find t where the rays meet.',
            ),
        ),
        atol=2e-3,
    ),
    '01.4': Exercise(
        against='exact geometry',
        truth=_seen,
        because='The point lies on the epipolar line of the pixel: if nothing is in its way, it has the same colour there.',
        mistakes=(
            Mistake((38.038, 18.184), 'you gave row and column: xy is column first.'),
            Mistake((18.184, 64 - 38.038), 'y points down in images: the first row is at the top.'),
            Mistake((17.684, 37.538), 'you counted pixels from their centres: the first centre is (0.5, 0.5).'),
            Mistake((26.5, 38.5), 'that is the pixel in the first view: another camera sees the point elsewhere.'),
        ),
        atol=0.1,
    ),
    '01.5': Exercise(
        against='closed form',
        truth=lambda: 4 / FOCAL,
        because='At depth z a pixel is z / f wide: the same pixel is blind to everything finer.',
        mistakes=(
            Mistake(1 / FOCAL, 'that is its width at depth 1: it grows in proportion to the depth.'),
            Mistake(4 / 64, 'you divided by the width of the image: divide by the focal length.'),
            Mistake(4 * 2 / math.sqrt(12) / FOCAL, 'that is the radius of its cone: asked is the width of the square.'),
            Mistake(4 * FOCAL, 'you multiplied by the focal length: a longer lens sees smaller pixels.'),
        ),
    ),
}
