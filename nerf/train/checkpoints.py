"""Saved states of a training run: read behind a check of keys, shapes, dtypes and checksums.

    step_00000250/ckpt-1.*         what CLU writes, one state per folder; ckpt-1.flax is a Flax message (msgpack)
                  manifest.json    step, size and SHA-256 of each file, shape and dtype of each leaf

`nerf.train.saving` writes them. Reading needs neither TensorFlow nor CLU. CLU alone would load flipped bytes and other shapes
without an error, and begin again at step 0 when its own list of files is lost; that list is never read here.
"""

import contextlib
import hashlib
import json
import logging
import os
import re
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from flax import serialization, traverse_util

from nerf.errors import UserError

State = TypeVar('State')

MANIFEST = 'manifest.json'
MANIFEST_BYTES = 2**24  # no model has so many leaves; a file that is longer is not read to its end
CONTENT = 'ckpt-1'  # CLU's name for a first checkpoint
STATE = f'{CONTENT}.flax'
_log = logging.getLogger('nerf')


class Checkpoints:
    """The states saved in one local folder, for reading."""

    def __init__(self, folder: str) -> None:
        """Use `folder`, which need not exist yet."""
        self.folder = Path(folder)

    def steps(self) -> list[int]:
        """Return the steps that have a readable manifest, ascending."""
        steps = []
        for step in self.folders():
            with contextlib.suppress(DamagedError):
                steps.append(read_manifest(self.path(step))['step'])
        return steps

    def restore(self, template: State, step: int | None = None) -> State | None:
        """Return the newest undamaged state, or exactly that of `step`, as numpy arrays; None if nothing was saved here.

        Damaged states are passed over, with a warning on the logger `nerf`.

        Args:
            template: a state of the same structure; of its leaves only shape and dtype count (`jax.eval_shape` gives one).

        Raises:
            UserError: if all states are damaged; if `step` is missing or damaged; if a leaf differs from the template's in
                key, shape or dtype (another model is no damage: no older state is tried).
        """
        folders = self.folders()
        if step is not None and step not in folders:
            known = ', '.join(map(str, self.steps())) or 'none'
            raise UserError(f'{self.folder}: found no checkpoint of step {step}, expected one of those saved: {known}')
        if not folders:
            self.refuse_unknown_files()
            return None
        for each in reversed(folders) if step is None else [step]:
            try:
                return _read(self.path(each), template)
            except DamagedError as damage:
                _log.warning('damaged checkpoint skipped: %s', damage)
                last = damage
        raise UserError(f'{last}, expected an intact checkpoint and found no other to use: restore {self.folder} from a copy')

    def path(self, step: int) -> Path:
        """Return the folder of a step."""
        return self.folder / f'step_{step:08d}'

    def folders(self) -> list[int]:
        """Return the steps that have a folder, damaged or not, ascending."""
        names = os.listdir(self.folder) if self.folder.is_dir() else []
        return sorted(int(name[5:]) for name in names if re.fullmatch(r'step_(\d{8}|[1-9]\d{8,})', name))

    def refuse_unknown_files(self) -> None:
        """Refuse a folder with files of CLU that have no manifest: a run must not begin over another.

        Raises:
            UserError: naming such a file.
        """
        for path in sorted(self.folder.glob('ckpt-*')):
            raise UserError(
                f'{path}: found a checkpoint without {MANIFEST}, expected folders step_*: choose another --model_dir'
            )


class DamagedError(Exception):
    """A checkpoint that cannot be trusted; the message names the file and the reason."""


def describe(tree: Any) -> dict[str, str]:
    """Return the dtype and shape of each leaf by its path, such as `params/Dense_0/kernel`: `float32 (3, 64)`."""

    def describe(leaf: Any) -> str:
        if leaf is None or leaf is traverse_util.empty_node:
            return 'empty'
        leaf = leaf if hasattr(leaf, 'dtype') else np.asarray(leaf)
        return f'{leaf.dtype} {leaf.shape}'

    flat = traverse_util.flatten_dict(serialization.to_state_dict(tree), keep_empty_nodes=True, sep='/')
    return {path: describe(leaf) for path, leaf in flat.items()}


def _read(folder: Path, template: State) -> State:
    leaves, expected = verify(folder)['leaves'], describe(template)
    wrong = [path for path in {*leaves, *expected} if leaves.get(path) != expected.get(path)]
    wrong.sort(key=lambda path: (not path.startswith('params/'), path))  # before the optimiser's copies of the same leaf
    if wrong:
        more = f' (and {len(wrong) - 1} more leaves differ)' if wrong[1:] else ''
        raise UserError(
            f'{folder}: found {wrong[0]} {leaves.get(wrong[0], "missing")}, expected {expected.get(wrong[0], "none")}'
            f'{more}: use the config with which this checkpoint was trained, or another --model_dir'
        )
    try:
        content = serialization.msgpack_restore((folder / STATE).read_bytes())
        found = describe(content)
    except Exception as error:  # whatever a parser may stumble over in a file that is not ours
        raise DamagedError(f'{folder / STATE}: found {error}') from error
    if found != leaves:
        raise DamagedError(f'{folder / STATE}: found other leaves than those in {MANIFEST}')
    # Copied, because what Flax returns are read-only, unaligned views of the file.
    return serialization.from_state_dict(template, jax.tree.map(np.array, content))


def verify(folder: Path) -> dict[str, Any]:
    """Return the manifest of a checkpoint's folder, after checking the files it lists.

    Raises:
        DamagedError: a file that is missing or changed.
    """
    manifest = read_manifest(folder)
    for name, (size, sha256) in manifest['files'].items():
        path = folder / name
        try:
            found = path.stat().st_size
            if found != size:
                raise DamagedError(f'{path}: found {found} of {size} bytes')
            if sha256_of(path) != sha256:
                raise DamagedError(f'{path}: found changed bytes (SHA-256 differs)')
        except OSError as error:
            raise DamagedError(f'{path}: found no readable file ({error.strerror})') from error
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read a checkpoint's manifest and check it against its own checksum and its folder's step.

    Raises:
        DamagedError: if it cannot be trusted.
    """
    path = folder / MANIFEST
    try:
        with path.open('rb') as file:
            manifest = json.loads(file.read(MANIFEST_BYTES))
        sha256 = manifest.pop('sha256')
    except OSError as error:
        raise DamagedError(f'{path}: found no readable file ({error.strerror})') from error
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise DamagedError(f'{path}: found no valid manifest') from error
    if sha256 != checksum(manifest):
        raise DamagedError(f'{path}: found changed bytes (SHA-256 differs)')
    if folder.name != f'step_{manifest["step"]:08d}':
        raise DamagedError(f'{path}: found step {manifest["step"]}, which is not that of its folder')
    return manifest


def checksum(manifest: dict[str, Any]) -> str:
    """Compute the SHA-256 of a manifest's entries."""
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def sha256_of(path: Path) -> str:
    """Compute the SHA-256 of a file."""
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()
