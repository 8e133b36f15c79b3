"""Camera paths for videos.

`PATHS` maps a path's name to a function of a scene and `PathOptions`. Add one line to add a path. Apart from path files, all
paths are computed from the cameras alone, so that a trained scene whose data are gone gets the same video.
"""

import dataclasses
import difflib
import logging
import os
from collections.abc import Callable

import numpy as np

from nerf.data.scene import Scene
from nerf.errors import UserError, unknown
from nerf.paths.cameras import MAX_SIDE, check_sees_ahead, frame_size, lenses_at, pinholes, resized, training
from nerf.paths.files import MAX_FRAMES, read_path_file
from nerf.paths.keyframes import nearest_neighbour_order, smooth_path
from nerf.paths.orbits import NUM_FRAMES, ellipse, scene_focus, spherical, spiral
from nerf.ray.cameras import Camera
from nerf.scene_types import scene_type_of

_log = logging.getLogger('nerf')
SMOOTHING = 1.5  # standard deviation in frames, for the path through hand-held training cameras
# Of a path file, from the nearest camera, in extents of all cameras; and the share of it by which other coordinates are nearer.
ASTRAY, ELSEWHERE = 3.0, 0.1


@dataclasses.dataclass(frozen=True)
class PathOptions:
    """User options of a camera path.

    Attributes:
        num_frames: None: 120, or for the path train one per training camera. A path file has its own number.
        keyframes: names of the images to pass through; repeating the first one at the end closes the path.
        file: a path file written by `save_path_file` or nerfstudio, or a `transforms.json`.
        coordinates: that its poses are in: model, those of rendering, or file, the world of the data's own file.
        elevation: degrees above the ground, for the path spherical; None: the cameras' median elevation.
        width: of the frames, px, instead of a `factor`. None: that of the training images or the path file.
        factor: frames are downscaled by this factor.
    """

    num_frames: int | None = None
    keyframes: tuple[str, ...] = ()
    file: str | None = None
    elevation: float | None = None
    width: int | None = None
    factor: int = 1
    coordinates: str = 'model'

    def __post_init__(self) -> None:
        for name, highest in (('num_frames', MAX_FRAMES), ('width', MAX_SIDE), ('factor', MAX_SIDE)):
            value = getattr(self, name)
            if value is not None and not 1 <= value <= highest:
                raise UserError(f'path option {name}: found {value}, expected 1 to {highest}')
        if self.width is not None and self.factor != 1:
            raise UserError(f'path options width {self.width} and factor {self.factor} exclude each other: give one of them')
        if self.elevation is not None and not abs(self.elevation) <= 89:
            raise UserError(f'path option elevation: found {self.elevation}, expected -89 to 89 degrees')


def make_path(name: str | None, scene: Scene, scene_type: str, options: PathOptions) -> Camera:
    """Compute the cameras of a path, stacked; `name` None: the options' file or keyframes, else the scene type's default path.

    They are pinhole cameras with near, far and NDC of the training cameras, and with their median intrinsics and image size
    unless the path has its own.

    Raises:
        UserError: an unknown path, scene type or image, an invalid path file, or cameras that do not suit this path.
    """
    name = choose_path(name, scene, scene_type, options)
    path = resized(PATHS[name](scene, options), options.width, options.factor)
    is_ours = name != 'file' or options.coordinates == 'file'
    check_sees_ahead(path, 'use the path spiral' if is_ours else "set --coordinates=file if it is in the data's own world")
    return path


def choose_path(name: str | None, scene: Scene, scene_type: str, options: PathOptions) -> str:
    """Return the name of the path; None is that of the option given (a file, keyframes), or else the default.

    Raises:
        UserError: an unknown path or scene type.
    """
    if name is None:
        name = 'file' if options.file else 'keyframes' if options.keyframes else default_path(scene, scene_type)
    if name not in PATHS:
        raise unknown('path', name, PATHS)
    return name


def default_path(scene: Scene, scene_type: str) -> str:
    """Return the name of the default path for this scene type; `train` if the cameras have no common focus point.

    Raises:
        UserError: an unknown scene type.
    """
    path = scene_type_of(scene_type).default_path
    return 'train' if scene_focus(training(scene)) is None else path


def follow(cameras: Camera, num_frames: int | None = None) -> Camera:
    """Compute a path through the poses of `cameras`, in their order or, if that jumps, in nearest-neighbour order.

    `num_frames` None: one frame per camera; else a smooth path along them.
    """
    size = frame_size(cameras)
    poses, lenses = np.asarray(cameras.camera_to_world, np.float64), lenses_at(cameras, size)
    order = nearest_neighbour_order(poses)
    poses, lenses = poses[order], lenses[order]
    if num_frames is not None:
        # With fewer frames than cameras, smooth less: averages over many cameras separate positions from view directions.
        smoothing = SMOOTHING * min(1.0, num_frames / len(poses))
        poses, lenses = smooth_path(poses, lenses, num_frames, smoothing=smoothing)
    return pinholes(cameras, poses, lenses, size)


def through(scene: Scene, names: tuple[str, ...], num_frames: int = NUM_FRAMES) -> Camera:
    """Compute a smooth path through the cameras of named images (keyframes), closed if the last name repeats the first.

    Raises:
        UserError: fewer than two names, or an unknown image.
    """
    if len(set(names)) < 2:
        raise UserError(f'path keyframes: {len(set(names))} images named, expected at least two: name the images to pass')
    is_closed = names[0] == names[-1]
    chosen = [find_image(scene, name) for name in (names[:-1] if is_closed else names)]
    size = frame_size(training(scene))
    poses = np.asarray(scene.cameras.camera_to_world, np.float64)[chosen]
    poses, lenses = smooth_path(poses, lenses_at(scene.cameras, size)[chosen], num_frames, is_closed)
    return pinholes(training(scene), poses, lenses, size)


def find_image(scene: Scene, name: str) -> int:
    """Find the index of an image by its name, or of a training image by its file name.

    Raises:
        UserError: no such image, listing similar names.
    """
    known = {scene.stem(i): int(i) for i in scene.indices('train')}
    known |= {full: i for i, full in enumerate(scene.names)}
    for candidate in (name, os.path.splitext(os.path.basename(name))[0]):
        if candidate in known:
            return known[candidate]
    raise unknown('image', name, difflib.get_close_matches(name, known, n=5, cutoff=0.4) or list(known)[:5])


def from_file(scene: Scene, options: PathOptions) -> Camera:
    """Read the path in a file; a missing size or missing intrinsics are the medians of the training cameras.

    A path far from all of them is warned of.

    Raises:
        UserError: no file given, or one that is not a camera path.
    """
    if options.file is None:
        raise UserError('path file: no file was given, expected a camera path file; name it')
    cameras, read = training(scene), read_path_file(options.file)
    readings = {'model': read.poses, 'file': scene.frame.poses(read.poses)}
    warn_if_astray(options, cameras, readings)
    poses = readings[options.coordinates]
    size = read.size or frame_size(cameras)
    usual = np.median(lenses_at(cameras, size), axis=0)
    return pinholes(cameras, poses, np.where(np.isnan(read.lenses), usual, read.lenses), size)


def warn_if_astray(options: PathOptions, cameras: Camera, readings: dict[str, np.ndarray]) -> None:
    """Warn of a path file most of whose frames are far from all cameras, or near to them in other coordinates only.

    `readings` are its poses [n, 3, 4], by the coordinates that they are taken to be in.
    """
    positions = np.asarray(cameras.camera_to_world, np.float64)[:, :, 3]
    extent = np.ptp(positions, axis=0).max() or 1.0
    away = {name: float(np.median(_nearest(poses[:, :, 3], positions))) / extent for name, poses in readings.items()}
    chosen, (other,) = options.coordinates, away.keys() - {options.coordinates}
    is_elsewhere = away[other] < ELSEWHERE * away[chosen]
    if away[chosen] > ASTRAY or (is_elsewhere and away[chosen] > ELSEWHERE):
        _log.warning(
            '%s: its frames are %.3g times the extent of the training cameras away from the nearest one%s',
            *(options.file, away[chosen]),
            f', {round(away[other], 3):g} times if its coordinates are of the {other}: set --coordinates={other} if so'
            if is_elsewhere
            else ', where little is to be seen: check its poses, and --coordinates',
        )


def _nearest(points: np.ndarray, others: np.ndarray) -> np.ndarray:
    """Compute the distance of each of `points` [n, 3] to the nearest of the others [k, 3], [n]."""
    found = np.full(len(points), np.inf)
    for other in others:
        found = np.minimum(found, np.linalg.norm(points - other, axis=1))
    return found


PATHS: dict[str, Callable[[Scene, PathOptions], Camera]] = {
    'spherical': lambda scene, options: spherical(training(scene), options.num_frames or NUM_FRAMES, options.elevation),
    'spiral': lambda scene, options: spiral(training(scene), options.num_frames or NUM_FRAMES),
    'ellipse': lambda scene, options: ellipse(training(scene), options.num_frames or NUM_FRAMES),
    'keyframes': lambda scene, options: through(scene, options.keyframes, options.num_frames or NUM_FRAMES),
    'train': lambda scene, options: follow(training(scene), options.num_frames),
    'file': from_file,
}
