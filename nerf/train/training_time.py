"""How long a run has trained and on what, over all its starts: `training.json` in its folder."""

import json
import logging
import os
import time
from pathlib import Path
from typing import Any

import jax

from nerf.errors import UserError
from nerf.host.files import write_atomically
from nerf.host.untrusted import UnreadableError, read_json, reason_of

FILE = 'training.json'
MAX_BYTES = 2**24
LONGEST = 1e10  # seconds
_log = logging.getLogger('nerf')


class TrainingTime:
    """Keeps for each checkpoint the seconds of training that led to it, and the hardware.

    Kept by step, so that a run that goes on from a checkpoint adds to what led there: steps that were lost when it was
    killed, and are trained again, count once. The seconds are those of a clock on the wall, from the first step on, with
    compilation, validation views and checkpoints.
    """

    def __init__(self, model_dir: str, step: int) -> None:
        """Start, in a run that is at `step`."""
        self._path = Path(model_dir) / FILE
        self._entries = {before: entry for before, entry in _read(self._path).items() if before <= step}
        # Unknown where the run went on from a checkpoint of before there was this file: then nothing is said.
        self._before = self._entries.get(step) if step else {'seconds': 0.0, 'hardware': []}
        self._started = time.monotonic()
        self._has_warned = False

    def note(self, step: int) -> None:
        """Write down the seconds up to `step`. Called before its checkpoint is saved, so that each checkpoint has some."""
        if self._before is not None:
            seconds = self._before['seconds'] + time.monotonic() - self._started
            used = [*self._before['hardware'], hardware()]
            self._entries[step] = {'seconds': round(seconds, 1), 'hardware': list(dict.fromkeys(used))}
            try:
                write_atomically(self._path, json.dumps(self._entries, indent=2).encode())
            except (OSError, UserError) as error:  # the checkpoint that follows matters more
                if not self._has_warned:
                    self._has_warned = True
                    _log.warning('%s: the time of training is not recorded (%s)', self._path, reason_of(error))


def hardware() -> str:
    """Describe what this process and those beside it compute on: `4 x NVIDIA H200`, or `CPU, 8 cores`."""
    if jax.default_backend() == 'cpu':
        return f'CPU, {os.cpu_count()} cores'
    return f'{jax.device_count()} x {jax.devices()[0].device_kind}'


def _read(path: Path) -> dict[int, dict[str, Any]]:
    """The entries of the file by step; none if it is missing or damaged, which must not keep a run from going on."""
    try:
        content = read_json(path, MAX_BYTES)
    except UnreadableError:
        return {}
    if not isinstance(content, dict) or not all(_is_sound(*each) for each in content.items()):
        return {}
    return {int(step): entry for step, entry in content.items()}


def _is_sound(step: str, entry: Any) -> bool:
    if not (step.isascii() and step.isdecimal() and len(step) < 16 and isinstance(entry, dict)):
        return False
    seconds, used = entry.get('seconds'), entry.get('hardware')
    if type(seconds) not in (int, float) or not 0 <= seconds < LONGEST or not isinstance(used, list):
        return False
    return all(isinstance(name, str) and name.isprintable() for name in used)
