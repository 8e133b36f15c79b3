"""Camera paths as JSON files: the project's own, those of nerfstudio's viewer, and the cameras of a scene.

The project's: {"fps": 30, "frames": [{"camera_to_world": 3 rows of 4 numbers, "fl_x", "fl_y", "cx", "cy", "w", "h"}, ...]}, or
the list of frames alone. All but the poses may be left out, and a frame may be its matrix alone.

nerfstudio's: {"camera_path": [{"camera_to_world": 16 numbers, row by row, "fov": degrees from top to bottom}, ...],
"render_width", "render_height", "fps", "seconds"}. Its poses are in the world coordinates of nerfstudio's model.

A scene's `transforms.json` (instant-ngp, nerfstudio): {"frames": [{"transform_matrix": 4 rows of 4 numbers, ...}, ...]}, with
"fl_x", "camera_angle_x" (radians), "w" and the like for each frame or for all, in the order of the file; lenses become
pinholes. One scale in the 3x3 part of any pose is divided out.
"""

import json
import math
import os
import stat
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

from nerf.errors import UserError
from nerf.host.files import write_atomically
from nerf.host.untrusted import UnreadableError, decode_text
from nerf.paths.cameras import MAX_SIDE
from nerf.ray.cameras import Camera

MAX_FRAMES = 100_000
MAX_BYTES = 2**27  # a frame takes less than 1 KB
MAX_VALUES = 64 * MAX_FRAMES  # numbers, lists and the like in a file: their memory is many times that of the text
FARTHEST = 1e9  # world, absolute coordinate of a position
SHOWN = 40  # characters of a value in a message
MAX_FOCAL = 1e6  # px
MOST_FILES = 99  # of paths saved in one folder
LENS = ('fl_x', 'fl_y', 'cx', 'cy')


class PathFile(NamedTuple):
    """Contents of a camera path file.

    Attributes:
        poses: camera_to_world, [n, 3, 4].
        lenses: intrinsics f_x, f_y, c_x, c_y, [n, 4], px; NaN where missing.
        size: width and height of all frames, px; None if missing.
        fps: frames per second; None if missing.
    """

    poses: np.ndarray
    lenses: np.ndarray
    size: tuple[int, int] | None
    fps: float | None


def read_path_file(path: str) -> PathFile:
    """Read a camera path from a JSON file: the project's form, a list of frames alone, nerfstudio's, or a `transforms.json`.

    Raises:
        UserError: no such file, invalid JSON, no frames, an invalid pose, or frames of differing or absurd sizes.
    """
    content = _read(path)
    is_nerfstudio = isinstance(content, dict) and 'camera_path' in content
    frames = content
    if isinstance(content, dict):
        frames = content.get('camera_path' if is_nerfstudio else 'frames')
    if not isinstance(frames, list) or not 1 <= len(frames) <= MAX_FRAMES:
        found = f'{len(frames)} frames' if isinstance(frames, list) else 'no list of frames'
        raise UserError(f"{path}: {found} found, expected 1 to {MAX_FRAMES}: a camera path as a list of poses, or nerfstudio's")
    entries = [frame if isinstance(frame, dict) else {'camera_to_world': frame} for frame in frames]
    if isinstance(content, dict) and 'transform_matrix' in entries[0]:
        entries = [_of_scene(content, entry, f'{path}: frame {i}') for i, entry in enumerate(entries)]
    poses = np.stack([_pose(entry, f'{path}: frame {i}') for i, entry in enumerate(entries)])
    if is_nerfstudio:
        return PathFile(poses, *_nerfstudio_lenses(content, entries, path), _fps(content, len(frames), path))
    lenses = [_lens(entry, f'{path}: frame {i}') for i, entry in enumerate(entries)]
    sizes = {_size(entry, 'w', 'h', f'{path}: frame {i}') for i, entry in enumerate(entries)}
    if len(sizes) > 1:
        raise UserError(f'{path}: frames of {len(sizes)} sizes found, expected "w" and "h" alike in all frames or in none')
    fps = _fps(content, len(frames), path) if isinstance(content, dict) else None
    return PathFile(poses, np.array(lenses), sizes.pop(), fps)


def save_path_file(path: str, cameras: Camera, fps: float) -> None:
    """Write stacked pinhole cameras as a path file, atomically; reading it restores the numbers to the last bit.

    Raises:
        UserError: the file cannot be written.
    """
    write_atomically(Path(path), _content(cameras, fps))


def save_new_path_file(folder: Path, cameras: Camera, fps: float) -> Path:
    """Write a path file `path.json`, or `path_2.json` and so on where there is another path; returns the one that holds it.

    Raises:
        UserError: the file cannot be written, or there are too many.
    """
    content = _content(cameras, fps)
    for number in range(1, MOST_FILES + 1):
        file = folder / (f'path_{number}.json' if number > 1 else 'path.json')
        if not os.path.lexists(file):
            write_atomically(file, content)
            return file
        if file.is_file() and not file.is_symlink() and file.stat().st_size == len(content) and file.read_bytes() == content:
            return file
    raise UserError(f'{folder}: {MOST_FILES} camera paths found, expected fewer: remove those that you do not need')


def _content(cameras: Camera, fps: float) -> bytes:
    frames = []
    for pose, lens, width, height in zip(
        cameras.camera_to_world, cameras.camera_to_pixel, cameras.width, cameras.height, strict=True
    ):
        numbers = [float(value) for value in np.asarray(lens)[[0, 1, 0, 1], [0, 1, 2, 2]]]
        entry = {'camera_to_world': np.asarray(pose, np.float64).tolist(), **dict(zip(LENS, numbers, strict=True))}
        frames.append(json.dumps({**entry, 'w': int(width), 'h': int(height)}))
    return (f'{{"fps": {json.dumps(fps)}, "frames": [\n' + ',\n'.join(frames) + '\n]}\n').encode()


def _read(path: str) -> Any:
    """Load the JSON file; neither opening it can block, nor does its content take much memory."""
    try:
        kind = os.stat(path).st_mode
        if not stat.S_ISREG(kind) and not stat.S_ISDIR(kind):
            raise UserError(f'{path}: is a pipe or a device, expected a file with a camera path; save it to a file first')
        with open(path, 'rb') as file:
            content = file.read(MAX_BYTES + 1)
        if len(content) > MAX_BYTES:
            raise UserError(f'{path}: has more than {MAX_BYTES // 2**20} MiB, expected a camera path; check the file')
        if sum(map(content.count, (b'[', b'{', b','))) > MAX_VALUES:
            raise UserError(f'{path}: has more values than {MAX_FRAMES} frames need, expected a camera path; check the file')
        return json.loads(decode_text(content))
    except FileNotFoundError:
        raise UserError(f'{path}: no such file, expected a camera path; check its name') from None
    except OSError as error:
        raise UserError(f'{path}: cannot be read ({error.strerror}), expected a camera path; check its name') from error
    except UnreadableError as error:
        raise UserError(f'{path}: {error}') from error
    except (ValueError, RecursionError) as error:
        raise UserError(f'{path}: is not valid JSON ({error}), expected a camera path; write it anew') from error


def _pose(entry: dict[str, Any], where: str) -> np.ndarray:
    """Parse the camera_to_world of a frame, [3, 4]: nested, or 12 or 16 numbers row by row."""
    # Checked before NumPy builds an array, which may be much larger than the text.
    values = entry.get('camera_to_world')
    if isinstance(values, list) and len(values) in (3, 4) and all(isinstance(row, list) and len(row) == 4 for row in values):
        values = [value for row in values for value in row]
    is_matrix = isinstance(values, list) and len(values) in (12, 16)
    if not is_matrix or not all(map(_is_number, values)):
        raise UserError(f'{where}: camera_to_world is not 3 or 4 rows of 4 numbers; repair or remove this frame')
    if not all(abs(value) <= FARTHEST for value in values[:12]):  # False for NaN as well
        raise UserError(
            f'{where}: camera_to_world has a number that is not finite or beyond {FARTHEST:g}; repair or remove this frame'
        )
    pose = np.array(values[:12], np.float64).reshape(3, 4)
    scale = np.cbrt(np.linalg.det(pose[:, :3]))
    pose[:, :3] /= scale if scale > 1e-9 else 1.0
    rotation = pose[:, :3]
    if not np.allclose(rotation.T @ rotation, np.eye(3), atol=1e-3) or scale <= 0:
        raise UserError(
            f'{where}: the 3x3 part of camera_to_world is no rotation, expected orthonormal columns: right, up, backward'
        )
    return pose


def _of_scene(content: dict[str, Any], entry: dict[str, Any], where: str) -> dict[str, Any]:
    """Return an entry of a `transforms.json` as one of a path, with what the file says for all frames."""
    said = {**{key: value for key, value in content.items() if key != 'frames'}, **entry}
    found = {'camera_to_world': said.get('transform_matrix'), **{key: said[key] for key in LENS if key in said}}
    size = [_number(said, key, where, 1, MAX_SIDE) for key in ('w', 'h')]
    if not any(map(math.isnan, size)):
        found |= {key: round(side) for key, side in zip('wh', size, strict=True)}
    for axis, side in zip('xy', size, strict=True):
        angle = _number(said, f'camera_angle_{axis}', where, 1e-3, math.pi - 1e-3)
        if said.get(f'fl_{axis}') is None and not math.isnan(angle * side):
            found[f'fl_{axis}'] = 0.5 * side / math.tan(0.5 * angle)
    return found


def _is_number(value: Any) -> bool:
    is_whole = isinstance(value, int) and not isinstance(value, bool) and abs(value) < 2**63
    return isinstance(value, float) or is_whole


def _lens(entry: dict[str, Any], where: str) -> list[float]:
    """Parse the four intrinsics of a frame; a missing fl_y equals fl_x."""
    focal_x = _number(entry, 'fl_x', where, 1e-3, MAX_FOCAL)
    focal_y = _number(entry, 'fl_y', where, 1e-3, MAX_FOCAL)
    focal_y = focal_x if math.isnan(focal_y) else focal_y
    return [focal_x, focal_y, *(_number(entry, name, where, -MAX_FOCAL, MAX_FOCAL) for name in ('cx', 'cy'))]


def _nerfstudio_lenses(content: dict[str, Any], entries: list[dict[str, Any]], path: str) -> tuple[np.ndarray, tuple[int, int]]:
    """Compute intrinsics [n, 4] from the fields of view, with the principal point at the image centre, and the frame size."""
    kind = content.get('camera_type', 'perspective')
    if kind != 'perspective':
        raise UserError(f'{path}: camera_type {_short(kind)} found, expected perspective; export the path with that')
    size = _size(content, 'render_width', 'render_height', path)
    if size is None:
        raise UserError(f"{path}: lacks render_width and render_height, expected both as in nerfstudio's camera paths")
    views = np.array([_number(entry, 'fov', f'{path}: frame {i}', 0.1, 179.0) for i, entry in enumerate(entries)])
    if np.isnan(views).any():
        raise UserError(f'{path}: frame {np.argmax(np.isnan(views))} lacks fov, expected the vertical field of view in degrees')
    focal = 0.5 * size[1] / np.tan(np.radians(views) / 2)
    return np.stack([focal, focal, np.full_like(focal, size[0] / 2), np.full_like(focal, size[1] / 2)], axis=1), size


def _size(content: dict[str, Any], width: str, height: str, where: str) -> tuple[int, int] | None:
    """Parse width and height under these keys, px; None if both are missing."""
    if content.get(width) is None and content.get(height) is None:
        return None
    found = content.get(width), content.get(height)
    for value in found:
        is_whole = isinstance(value, int | float) and not isinstance(value, bool) and 1 <= value <= MAX_SIDE and value % 1 == 0
        if not is_whole:
            both = ', '.join(map(_short, found))
            raise UserError(f'{where}: {width}, {height} are {both}, expected whole numbers, 1 to {MAX_SIDE}')
    return int(found[0]), int(found[1])


def _fps(content: dict[str, Any], count: int, path: str) -> float | None:
    """Parse the frames per second, given directly or by the duration in seconds; None if missing."""
    fps = _number(content, 'fps', path, 0.01, 1000.0)
    seconds = _number(content, 'seconds', path, 0.0, 1e6)
    if math.isnan(fps) and seconds > 0:
        return _number({'frames per second': count / seconds}, 'frames per second', path, 0.01, 1000.0)
    return None if math.isnan(fps) else fps


def _number(entry: dict[str, Any], name: str, where: str, low: float, high: float) -> float:
    """Parse a number under this key; NaN if missing."""
    value = entry.get(name)
    if value is None:
        return math.nan
    if not isinstance(value, int | float) or isinstance(value, bool) or not low <= value <= high:
        raise UserError(
            f'{where}: {name} is {" ".join(str(value)[:SHOWN].split())}, expected a number from {low:g} to {high:g}'
        )
    return float(value)


def _short(value: Any) -> str:
    """Return the start of a value's representation, for a message."""
    return (repr(value[:SHOWN]) if isinstance(value, str) else repr(value))[:SHOWN]
