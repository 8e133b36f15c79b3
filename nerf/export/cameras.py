"""Cameras of a scene as files of other programs: `transforms.json` (instant-ngp, nerfstudio) and COLMAP's text files."""

import json
from typing import Any

import numpy as np
from scipy.spatial.transform import Rotation

from nerf.data.formats.colmap import TURNED
from nerf.data.formats.colmap_cameras import CAMERA_MODELS, COEFFICIENTS, FISHEYE_COEFFICIENTS
from nerf.data.poses import Frame
from nerf.data.scene import SPLITS, Scene
from nerf.ray.cameras import Camera

GREY = '128 128 128'  # a scene's points have no colours


def image_names(scene: Scene) -> list[str]:
    """Return a file name for each image: its name without the split, in a folder of the split where names repeat."""
    stems = [scene.stem(i) for i in range(len(scene.names))]
    is_distinct = len(set(stems)) == len(stems)
    return [f'{stem}.png' if is_distinct else f'{split}/{stem}.png' for stem, split in zip(stems, scene.split, strict=True)]


def transforms_json(scene: Scene, frame: Frame) -> str:
    """Return the content of a `transforms.json` of all cameras, moved by `frame`, with intrinsics, distortion and splits.

    What is the same for all cameras is said once.
    """
    names = image_names(scene)
    paths = [name if '/' in name else f'images/{name}' for name in names]
    said = [_said(scene.camera(i)) for i in range(len(names))]
    shared = {key: value for key, value in said[0].items() if all(each.get(key) == value for each in said)}
    frames = [
        {
            'file_path': path,
            'transform_matrix': [*pose.tolist(), [0.0, 0.0, 0.0, 1.0]],
            **{key: value for key, value in each.items() if key not in shared},
        }
        for path, pose, each in zip(paths, frame.poses(_poses(scene)), said, strict=True)
    ]
    lists = {f'{of}_filenames': [path for path, each in zip(paths, scene.split, strict=True) if each == of] for of in SPLITS}
    content = {**shared, **{key: value for key, value in lists.items() if value}, 'frames': frames}
    return json.dumps(content, indent=1)


def colmap_text(scene: Scene, frame: Frame) -> dict[str, str]:
    """Return the contents of COLMAP's cameras.txt, images.txt and points3D.txt, moved by `frame`, by file name.

    x_camera = R x_world + t, in OpenCV's axes; equal intrinsics are one camera. Points are grey and have no tracks.
    """
    lenses = [_lens_line(scene.camera(i)) for i in range(len(scene.names))]
    ids = {lens: number for number, lens in enumerate(dict.fromkeys(lenses), 1)}
    images = []
    for i, (name, pose) in enumerate(zip(image_names(scene), frame.poses(_poses(scene)), strict=True)):
        rotation = Rotation.from_matrix((pose[:, :3] * TURNED).T)
        numbers = [*rotation.as_quat()[[3, 0, 1, 2]], *-(rotation.as_matrix() @ pose[:, 3])]
        images += [f'{i + 1} {_line(numbers)} {ids[lenses[i]]} {name}', '']
    points = [f'{i} {_line(point)} {GREY} 0' for i, point in enumerate(frame.points(scene.points), 1)]
    return {
        'cameras.txt': _text('CAMERA_ID MODEL WIDTH HEIGHT PARAMS[]', [f'{number} {lens}' for lens, number in ids.items()]),
        'images.txt': _text('IMAGE_ID QW QX QY QZ TX TY TZ CAMERA_ID NAME, then POINTS2D[]', images),
        'points3D.txt': _text('POINT3D_ID X Y Z R G B ERROR TRACK[]', points),
    }


def _poses(scene: Scene) -> np.ndarray:
    return np.asarray(scene.cameras.camera_to_world, np.float64)


def _distortion(camera: Camera) -> dict[str, float]:
    """Return the coefficients of a camera's distortion by name; none for a pinhole."""
    if camera.lens is None or not (np.any(camera.lens.coefficients) or camera.lens.is_fisheye):
        return {}
    names = FISHEYE_COEFFICIENTS if camera.lens.is_fisheye else COEFFICIENTS
    values = {name: float(value) for name, value in zip(names, camera.lens.coefficients, strict=False)}
    return {name: value for name, value in values.items() if value or name in names[:4]}


def _model(camera: Camera, distortion: dict[str, float], allows_k3: bool) -> str:
    """Return COLMAP's name of the simplest model that has these coefficients."""
    if camera.lens is not None and camera.lens.is_fisheye:
        return 'OPENCV_FISHEYE'
    more = COEFFICIENTS[5:] if allows_k3 else COEFFICIENTS[4:]
    return 'FULL_OPENCV' if any(name in distortion for name in more) else 'OPENCV'


def _said(camera: Camera) -> dict[str, Any]:
    """Return what a `transforms.json` says of one camera's image and lens."""
    focal_x, focal_y, *centre = np.asarray(camera.camera_to_pixel, np.float64)[[0, 1, 0, 1], [0, 1, 2, 2]].tolist()
    distortion = _distortion(camera)
    said = {'camera_model': _model(camera, distortion, allows_k3=True), 'w': int(camera.width), 'h': int(camera.height)}
    return {**said, 'fl_x': focal_x, 'fl_y': focal_y, 'cx': centre[0], 'cy': centre[1], **distortion}


def _lens_line(camera: Camera) -> str:
    """Return model, width, height and parameters of one camera, as in cameras.txt."""
    distortion = _distortion(camera)
    model = _model(camera, distortion, allows_k3=False) if distortion else 'PINHOLE'
    values = [distortion.get(name, 0.0) for name in CAMERA_MODELS[model][4:]]
    intrinsics = np.asarray(camera.camera_to_pixel, np.float64)[[0, 1, 0, 1], [0, 1, 2, 2]]
    return f'{model} {int(camera.width)} {int(camera.height)} {_line([*intrinsics, *values])}'


def _line(numbers: Any) -> str:
    """Return numbers with all their digits, separated by spaces."""
    return ' '.join(repr(float(number)) for number in numbers)


def _text(columns: str, lines: list[str]) -> str:
    return '\n'.join([f'# {columns}', *lines, ''])
