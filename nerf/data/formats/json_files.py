"""Checked reading of the JSON files of scenes, which are untrusted."""

import functools
import logging
from typing import Any

import numpy as np

from nerf.errors import UserError
from nerf.host import untrusted
from nerf.host.untrusted import MissingError, UnreadableError

LOG = logging.getLogger('nerf')
MAX_BYTES = 2**27  # a frame takes less than 1 KB


def read_json(where: str, expected: str) -> dict[str, Any]:
    """Read the JSON object in a file; `expected` names its contents for messages.

    Raises:
        UserError: no such file, a file that is too large, or no JSON object.
    """
    try:
        content = untrusted.read_json(where, MAX_BYTES)
    except MissingError:
        raise UserError(f'{where}: no such file; expected it in the scene folder') from None
    except UnreadableError as error:
        raise UserError(f'{where}: {error}, expected {expected}; check the file') from error
    if not isinstance(content, dict):
        raise UserError(f'{where}: expected a JSON object with {expected}')
    return content


def read_frame_list(
    content: dict[str, Any], where: str, key: str = 'frames', may_be_empty: bool = False
) -> list[dict[str, Any]]:
    """Return the entries of a list in a transforms file, each with a file_path and a transform_matrix.

    Raises:
        UserError: no such list, an empty one that may not be, or an entry that lacks one of them.
    """
    entries = content.get(key)
    if not isinstance(entries, list) or not (entries or may_be_empty):
        raise UserError(f'{where}: expected a list "{key}" with an entry for each image; remove the file if there is none')
    for number, entry in enumerate(entries):
        if not isinstance(entry, dict) or not isinstance(entry.get('file_path'), str) or 'transform_matrix' not in entry:
            raise UserError(f'{where}: frame {number} lacks file_path or transform_matrix; expected both')
    return entries


def is_bad(entry: dict[str, Any]) -> bool:
    """Return whether a frame is marked as ScanNet++ marks those whose image or pose is not to be used."""
    return entry.get('is_bad') is True


def pose_of(matrix: Any, where: str) -> np.ndarray:
    """Convert 4 rows of 4 numbers, or the first 3 of them, to [R|t], float64 [3, 4].

    Raises:
        UserError: not such a matrix, or not of numbers.
    """
    try:
        pose = np.array(matrix)
    except ValueError:  # rows of different lengths
        pose = np.array(None)
    if pose.shape not in ((4, 4), (3, 4)) or pose.dtype.kind not in 'if':
        raise UserError(f'{where}: transform_matrix is not 4 rows of 4 numbers')
    if len(pose) == 4 and not np.allclose(pose[3], [0, 0, 0, 1]):
        raise UserError(f'{where}: the last row of transform_matrix is {pose[3].tolist()}, expected [0, 0, 0, 1]')
    return pose[:3].astype(np.float64)


@functools.cache
def say_once(line: str) -> None:
    """Log a line about a scene once, though its files are listed for its fingerprint and again when it is loaded."""
    LOG.warning('%s', line)
