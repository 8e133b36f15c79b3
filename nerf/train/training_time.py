"""How long a run has trained and on what, over all its starts: `training.json` in its folder."""

import json
import os
import time
from pathlib import Path
from typing import Any

import jax

from nerf.host.files import write_atomically

FILE = 'training.json'


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

    def note(self, step: int) -> None:
        """Write down the seconds up to `step`. Called before its checkpoint is saved, so that each checkpoint has some."""
        if self._before is not None:
            seconds = self._before['seconds'] + time.monotonic() - self._started
            used = [*self._before['hardware'], hardware()]
            self._entries[step] = {'seconds': round(seconds, 1), 'hardware': list(dict.fromkeys(used))}
            write_atomically(self._path, json.dumps(self._entries, indent=2).encode())


def hardware() -> str:
    """Describe what this process and those beside it compute on: `4 x NVIDIA H200`, or `CPU, 8 cores`."""
    if jax.default_backend() == 'cpu':
        return f'CPU, {os.cpu_count()} cores'
    return f'{jax.device_count()} x {jax.devices()[0].device_kind}'


def _read(path: Path) -> dict[int, dict[str, Any]]:
    """The entries of the file by step; none if it is missing or damaged, which must not keep a run from going on."""
    try:
        entries = {int(step): entry for step, entry in json.loads(path.read_text()).items()}
    except (OSError, ValueError, AttributeError):
        return {}
    return entries if all(map(_is_sound, entries.values())) else {}


def _is_sound(entry: Any) -> bool:
    if not isinstance(entry, dict) or not isinstance(entry.get('hardware'), list):
        return False
    return type(entry.get('seconds')) in (int, float) and all(isinstance(name, str) for name in entry['hardware'])
