"""`run.json`: the resolved config, the legs, where the data were, the versions of packages, and checksums, in a run's folder.

What is read back was perhaps damaged, or written by someone else: it is checked against its checksum and the types of configs.
"""

import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ml_collections

from nerf.config import FREE, flatten, resolve
from nerf.errors import UserError
from nerf.host.files import write_atomically
from nerf.host.untrusted import UnreadableError, checksum, read_json, reason_of
from nerf.train.config_types import check_types
from nerf.train.legs import Leg
from nerf.train.step import check_objective
from nerf.train.training_time import hardware

FILE = 'run.json'
FORMAT = 3
MAX_BYTES = 2**24
PACKAGES = ('jax', 'jaxlib', 'flax', 'optax', 'clu', 'numpy', 'ml_collections')


def write_run_file(
    folder: Path, config: Any, legs: Sequence[Leg], data_dir: str | None, digest: str, cameras: Sequence[str]
) -> None:
    """Write `run.json`; `digest` is of the training images and cameras, one of `cameras` that of the file with all cameras."""
    description = {
        'format': FORMAT,
        'config': config.to_dict(),
        'legs': [[leg.start, leg.num_steps] for leg in legs],
        'data_dir': data_dir and os.path.abspath(data_dir),
        'digest': digest,
        'cameras': list(cameras),
        'versions': {package: _version(package) for package in PACKAGES},
        'made': made_by(),
    }
    write_atomically(folder / FILE, json.dumps({**description, 'sha256': checksum(description)}, indent=2).encode())


def made_by() -> dict[str, str | None]:
    """Describe what a run is made by, for a person: commit, command line, Python, operating system and hardware."""
    return {
        'commit': _commit(),
        'command': ascii(shlex.join([Path(sys.argv[0]).name, *sys.argv[1:]]))[1:-1][:4096],
        'python': platform.python_version(),
        'system': platform.platform(),
        'hardware': hardware(),
    }


def _commit() -> str | None:
    """The commit of the checkout that this file lies in, with + where files differ; None without one, or without git."""
    root = Path(__file__).parents[2]
    if not (root / '.git').exists():
        return None
    ask = ['git', '-C', str(root)]
    try:
        found, changed = (
            subprocess.run([*ask, *words], capture_output=True, text=True, timeout=10, check=True).stdout.strip()
            for words in (['rev-parse', 'HEAD'], ['status', '--porcelain', '--untracked-files=no'])
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return found + ('+' if changed else '')


def _version(package: str) -> str | None:
    """The version of a package; None if it is not installed, as for the one that trained elsewhere."""
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def read_run_file(folder: Path) -> dict[str, Any]:
    """Read `run.json`, with its config resolved.

    Raises:
        MissingError: there is none.
        UnreadableError: it cannot be read, was changed, or lacks an entry.
        UserError: it is of another format, or its config cannot be.
    """
    path = folder / FILE
    description = read_json(path, MAX_BYTES)
    if not isinstance(description, dict):
        raise UnreadableError('is no JSON object')
    expected, found = description.pop('sha256', None), description.get('format')
    if type(found) is not int or found != FORMAT:
        raise UserError(f'{path}: format {ascii(found)[:40]} found, expected {FORMAT}: use the version that trained it')
    if expected != checksum(description):
        raise UnreadableError('was changed (SHA-256 differs)')
    for name, is_right in (
        ('data_dir', _is_folder),
        ('digest', _is_text),
        ('cameras', _are_texts),
        ('legs', _are_legs),
    ):
        if not is_right(description.get(name, 0)):
            raise UnreadableError(f'{name} is missing or of another kind')
    if not _is_said(description.get('made', {})):
        raise UnreadableError('made is of another kind')
    try:
        description['config'] = _checked(description.get('config'))
        description['legs'] = tuple(Leg(*leg) for leg in description['legs'])
    except UserError as error:
        raise UserError(f'{path}: {error}: restore it from a copy, or train anew in another --model_dir') from error
    return description


def _checked(config: Any) -> ml_collections.FrozenConfigDict:
    """Resolve a config that was read from a file.

    Raises:
        UserError: it cannot be.
    """
    check_types(config)
    try:
        resolved = resolve(ml_collections.ConfigDict(config))
    except UserError:
        raise
    except Exception as error:  # of a config that nobody can have written with this program
        raise UserError(f'config cannot be used ({reason_of(error)})') from error
    check_objective(resolved)
    return resolved


def _is_text(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= 64 and value.isascii() and value.isprintable()


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(map(_is_text, value))


def _are_legs(value: Any) -> bool:
    return isinstance(value, list) and 0 < len(value) <= 1000 and all(map(_is_leg, value))


def _is_leg(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and all(type(step) is int and 0 <= step < 2**31 for step in value)


def _is_said(value: Any) -> bool:
    """Whether this may be of `made_by`: printable words by name, which nothing but a person reads."""
    return isinstance(value, dict) and all(
        each is None or (isinstance(each, str) and len(each) <= 8192 and each.isprintable()) for each in value.values()
    )


def _is_folder(value: Any) -> bool:
    return value is None or (isinstance(value, str) and '\0' not in value and len(value) <= 4096)


def identity_of(config: Any, digest: str) -> str:
    """Compute a digest of what decides a run's parameters: its config without `FREE` and the number of steps, and its data.

    The number of steps is left out so that a run may be continued beyond its end. Entries that are None do not count, so that
    configs may get new ones.
    """
    entries = {
        name: _plain(value)
        for name, value in flatten(config).items()
        if value is not None and name.split('.')[0] not in (*FREE, 'num_steps')
    }
    return checksum({'config': entries, 'digest': digest})[:32]


def _plain(value: Any) -> Any:
    """Return 1.0 as 1, which the configs do not tell apart."""
    if isinstance(value, list):
        return [_plain(each) for each in value]
    return int(value) if isinstance(value, float) and value.is_integer() else value
