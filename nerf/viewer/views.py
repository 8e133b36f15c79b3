"""Conversion between the browser's cameras and this project's, and the start view."""

import dataclasses
import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import jax
import numpy as np

from nerf.data.poses import up_direction
from nerf.data.scene import Scene
from nerf.errors import UserError
from nerf.paths import PathOptions, make_path
from nerf.paths.cameras import check_sees_ahead, frame_size, lenses_at, pinholes, training
from nerf.paths.files import MAX_FRAMES
from nerf.paths.keyframes import quaternions, rotations, smooth_path
from nerf.paths.orbits import focus_depth, scene_focus
from nerf.ray.cameras import Camera
from nerf.scene_types import scene_type_of

# The browser's cameras (viser) follow OpenCV: x right, y down, looking along +z. Ours: x right, y up, along -z.
TURN = np.diag([1.0, -1.0, -1.0])
FLATTEST, WIDEST = 0.2, 5.0  # limits of width / height of a picture
CLOSEST = 0.05  # least near, as a share of the training cameras' near, for a camera close to the subject
WIDEST_VIEW = math.radians(160)
# What a browser's camera can be; another is none, by a fault or with intent.
NARROWEST_VIEW = 1e-3  # radians
FARTHEST = 1e6  # world, absolute coordinate of a position
THINNEST = 1e-3  # width / height of a window, or its inverse


@dataclasses.dataclass(frozen=True)
class View:
    """Viewpoint of a browser.

    Attributes:
        pose: camera_to_world, [3, 4].
        fov: vertical field of view, radians.
        aspect: width / height of its window.
    """

    pose: np.ndarray
    fov: float
    aspect: float

    @property
    def lens(self) -> tuple[float, float]:
        """Vertical field of view and aspect ratio."""
        return self.fov, self.aspect


def from_browser(wxyz: np.ndarray, position: np.ndarray) -> np.ndarray:
    """Convert a browser's camera, unit quaternion (w, x, y, z) [4] and position [3], world, to camera_to_world [3, 4]."""
    rotation = rotations(np.roll(np.asarray(wxyz, np.float64), -1)[None])[0]
    return np.concatenate([rotation @ TURN, np.asarray(position, np.float64)[:, None]], axis=1)


def to_browser(pose: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Convert camera_to_world [3, 4] to a browser's quaternion (w, x, y, z) [4] and position [3]; inverts `from_browser`."""
    pose = np.asarray(pose, np.float64)
    return np.roll(quaternions((pose[:, :3] @ TURN)[None])[0], 1), pose[:, 3]


def view_from(wxyz: Any, position: Any, fov: Any, aspect: Any) -> View | None:
    """Build the view of a browser's camera; None: the numbers, which may be anything, are not those of a camera."""
    try:
        numbers = np.array([*wxyz, *position, fov, aspect], np.float64)
    except (TypeError, ValueError, OverflowError):
        return None
    if numbers.shape != (9,) or not (np.abs(numbers) <= FARTHEST).all():  # False for NaN as well
        return None
    is_unit = abs(np.linalg.norm(numbers[:4]) - 1) < 1e-2
    if not (is_unit and NARROWEST_VIEW <= numbers[7] < math.pi and THINNEST <= numbers[8] <= 1 / THINNEST):
        return None
    return View(from_browser(numbers[:4], numbers[4:7]), float(numbers[7]), float(numbers[8]))


def view_of(camera: Any) -> View | None:
    """Return the view of one of viser's camera handles; None: it is not that of a camera, see `view_from`."""
    try:
        return view_from(camera.wxyz, camera.position, camera.fov, camera.aspect)
    except (ArithmeticError, TypeError, ValueError):  # a window without height
        return None


def shape_of(num_pixels: int, aspect: float) -> tuple[int, int]:
    """Compute width and height, px, of about this aspect ratio, with at most `num_pixels` and by less than a row fewer."""
    width = min(num_pixels, max(1, round(math.sqrt(num_pixels * min(max(aspect, FLATTEST), WIDEST)))))
    return width, num_pixels // width


class Subject(NamedTuple):
    """Object that the training cameras surround: its centre, [3], world, and their mean distance from it."""

    centre: np.ndarray
    distance: float


def subject_of(cameras: Camera, scene_type: str) -> Subject | None:
    """Compute the subject of a scene of type object; None for other types, or without a common focus point."""
    centre = scene_focus(cameras) if scene_type_of(scene_type).has_subject else None
    if centre is None:
        return None
    return Subject(centre, float(np.linalg.norm(cameras.camera_to_world[:, :, 3] - centre, axis=1).mean()))


def camera_of(view: View, size: tuple[int, int], cameras: Camera, subject: Subject | None = None) -> Camera:
    """Build the camera that shows all of a browser's window in `size` (width, height) px.

    Its pixels are square only up to rounding; near, far and NDC are those of the stacked training `cameras`, but the range
    moves with the distance to a `subject`, which otherwise would vanish from afar and be clipped from nearby.
    """
    stacked = pinholes(cameras, view.pose[None], lens_of(view, size)[None], size)
    camera = stacked.at(0)
    if subject is None:
        return camera
    farther = np.linalg.norm(view.pose[:, 3] - subject.centre) - subject.distance
    near = max(camera.near + farther, CLOSEST * camera.near)
    return camera.replace(near=np.float32(near), far=np.float32(camera.far + max(farther, 0.0)))


def lens_of(view: View, size: tuple[int, int]) -> np.ndarray:
    """Compute the intrinsics f_x, f_y, c_x, c_y, [4], px, of a view shown in `size` (width, height) px."""
    slope = math.tan(min(view.fov, WIDEST_VIEW) / 2)
    width, height = size
    return np.array([0.5 * width / (slope * view.aspect), 0.5 * height / slope, width / 2, height / 2])


def why_not(camera: Camera) -> str | None:
    """Return why a camera cannot show the scene, or None: a forward-facing scene is only defined in front of its cameras."""
    try:
        check_sees_ahead(jax.tree.map(lambda field: np.asarray(field)[None], camera))
    except UserError:
        return 'This scene was seen from the front only: turn back to look along -z, or narrow the field of view.'
    return None


def path_through(views: Sequence[View], seconds: Sequence[float], cameras: Camera, fps: float) -> Camera:
    """Compute a smooth path through views, as stacked pinhole cameras of the training images' size.

    It takes `seconds` (positive, one fewer than views) from each view to the next.

    Raises:
        UserError: fewer than two views, too many frames, or a frame that does not look ahead in a forward-facing scene.
    """
    if len(views) < 2:
        raise UserError(f'{len(views)} keyframes found, expected at least two: add keyframes from different views')
    times = np.concatenate([[0.0], np.cumsum(seconds)])
    num_frames = max(2, round(times[-1] * fps))
    if num_frames > MAX_FRAMES:
        raise UserError(f'{num_frames} frames found, expected {MAX_FRAMES} at most: take fewer seconds')
    size = frame_size(cameras)
    lenses = np.stack([lens_of(dataclasses.replace(view, aspect=size[0] / size[1]), size) for view in views])
    poses = np.stack([view.pose for view in views])
    path = pinholes(cameras, *smooth_path(poses, lenses, num_frames, times=times), size)
    check_sees_ahead(path)
    return path


class Beginning(NamedTuple):
    """Start view of a browser.

    Attributes:
        view: the viewpoint.
        target: the point to orbit around, [3], world.
        up: the up direction of the training cameras, unit [3].
        reach: distance from the view to the target, world.
    """

    view: View
    target: np.ndarray
    up: np.ndarray
    reach: float


def beginning(scene: Scene, scene_type: str) -> Beginning:
    """Compute the start view: the first frame of the scene's default path, orbiting around the focus point."""
    cameras = training(scene)
    first = make_path(None, scene, scene_type, PathOptions(num_frames=8)).at(0)
    pose = np.asarray(first.camera_to_world, np.float64)
    focus = scene_focus(cameras)
    reach = focus_depth(cameras) if focus is None else float((pose[:, 3] - focus) @ pose[:, 2])
    reach = reach if reach > 1e-3 else focus_depth(cameras)
    size = frame_size(cameras)
    focal = float(np.median(lenses_at(cameras, size)[:, 1]))
    view = View(pose, 2 * math.atan(0.5 * size[1] / focal), size[0] / size[1])
    up = up_direction(np.asarray(cameras.camera_to_world, np.float64))
    return Beginning(view, pose[:, 3] - reach * pose[:, 2], up, reach)
