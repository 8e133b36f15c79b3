"""Saved states of a training run: CLU's checkpoint behind a check of keys, shapes, dtypes and checksums.

    step_00000250/ckpt-1.*         what CLU writes, one state per folder
                  manifest.json    step, size and SHA-256 of each file, shape and dtype of each leaf

A folder is written under a temporary name and renamed when it is complete: the rename is the moment at which the
state counts as saved, so a run killed at any time leaves the state before. CLU alone would load flipped bytes and other
shapes without a word, and begin again at step 0 when its own list of files is lost; here that list is never read.
"""

from nerf.data.feed import quiet_tensorflow  # noqa: F401  # isort: skip  (before anything imports TensorFlow)

import contextlib
import hashlib
import json
import logging
import os
import re
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
import tensorflow as tf
from clu import checkpoint as clu_checkpoint
from flax import serialization, traverse_util

from nerf.errors import UserError

State = TypeVar('State')

MANIFEST = 'manifest.json'
MANIFEST_BYTES = 2**24  # no model has so many leaves; a file that is longer is not read to its end
CONTENT = 'ckpt-1'  # CLU's name for a first checkpoint
STATE = f'{CONTENT}.flax'
_log = logging.getLogger('nerf')


class Checkpoints:
    """The states saved in one local folder: one process saves, any number restore."""

    def __init__(self, folder: str, keep: int = 3, keep_steps: Sequence[int] = ()) -> None:
        """Use `folder`, which need not exist yet; of what is saved, the last `keep` and all of `keep_steps` survive.

        Raises:
            UserError: if `keep` is less than 1, which would delete what was just saved.
        """
        if keep < 1:
            raise UserError(f'number of checkpoints to keep: found {keep}, expected 1 or more: raise it')
        self.folder = Path(folder)
        self.keep = keep
        self.keep_steps = frozenset(keep_steps)

    def steps(self) -> list[int]:
        """The steps that have a readable manifest, ascending."""
        steps = []
        for step in self._folders():
            with contextlib.suppress(_DamagedError):
                steps.append(_manifest(self._path(step))['step'])
        return steps

    def save(self, state: Any) -> str:
        """Save one un-replicated state, all of it or nothing, and return its folder; saving it again changes nothing.

        Args:
            state: pytree of numpy or JAX arrays that Flax can serialise, with an integer `step` of shape [].

        Raises:
            UserError: if the folder cannot be written or the disk is full, or if it holds another intact state of this
                step or a later one. Damaged ones are moved out of the way, to `damaged_*`.
            ValueError: if the state is still replicated.
        """
        # As any map over a tree, this also sorts the keys of dicts, so that equal states become equal bytes.
        content = jax.device_get(serialization.to_state_dict(state))
        if np.shape(content['step']) != ():
            raise ValueError(f'expected one state, step of shape (), got {content["step"].shape}: unreplicate it first')
        step = int(content['step'])
        unfinished = self.folder / f'tmp_{step:08d}'
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            self._refuse_unknown_files()
            self._remove_unfinished()
            manifest = _write(unfinished, content)
            if not self._is_saved(manifest):
                os.rename(unfinished, self._path(step))
                _sync(self.folder)
                self._remove_old()
        except (OSError, tf.errors.OpError) as error:
            reason = ' '.join(str(error).split())
            raise UserError(
                f'{self.folder}: step {step} could not be saved ({reason}), expected a writable folder with room: '
                'free some space or choose another --model_dir'
            ) from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return str(self._path(step))

    def restore(self, template: State, step: int | None = None) -> State | None:
        """The newest undamaged state, or exactly that of `step`, as numpy arrays; None if nothing was saved here.

        Damaged states are passed over, with a warning on the logger `nerf`.

        Args:
            template: a state of the same structure; of its leaves only shape and dtype count (`jax.eval_shape` gives one).

        Raises:
            UserError: if all states are damaged; if `step` is missing or damaged; if a leaf differs from the template's in
                key, shape or dtype (another model is no damage: no older state is tried).
        """
        folders = self._folders()
        if step is not None and step not in folders:
            known = ', '.join(map(str, self.steps())) or 'none'
            raise UserError(f'{self.folder}: found no checkpoint of step {step}, expected one of those saved: {known}')
        if not folders:
            self._refuse_unknown_files()
            return None
        for each in reversed(folders) if step is None else [step]:
            try:
                return _read(self._path(each), template)
            except _DamagedError as damage:
                _log.warning('damaged checkpoint skipped: %s', damage)
                last = damage
        raise UserError(f'{last}, expected an intact checkpoint and found no other to use: restore {self.folder} from a copy')

    def _path(self, step: int) -> Path:
        return self.folder / f'step_{step:08d}'

    def _folders(self) -> list[int]:
        """Steps that have a folder, in whatever state, ascending."""
        names = os.listdir(self.folder) if self.folder.is_dir() else []
        return sorted(int(name[5:]) for name in names if re.fullmatch(r'step_(\d{8}|[1-9]\d{8,})', name))

    def _refuse_unknown_files(self) -> None:
        """Never begin a run over one whose files only CLU's list, perhaps lost, could explain."""
        for path in sorted(self.folder.glob('ckpt-*')):
            raise UserError(
                f'{path}: found a checkpoint without {MANIFEST}, expected folders step_*: choose another --model_dir'
            )

    def _is_saved(self, manifest: dict[str, Any]) -> bool:
        """Whether this state is there already; if not, see to it that it will be the newest."""
        step = manifest['step']
        for later in (n for n in self._folders() if n >= step):
            path = self._path(later)
            try:
                found = _verify(path)
            except _DamagedError:
                aside = self.folder / f'damaged_{later:08d}'
                shutil.rmtree(aside, ignore_errors=True)
                os.rename(path, aside)
                continue
            if found['step'] == step and found['files'].get(STATE) == manifest['files'][STATE]:
                return True
            raise UserError(
                f'{path}: found another state while saving step {step}, expected none from there on: choose another '
                '--model_dir, or remove that folder to go on from an earlier step'
            )
        return False

    def _remove_old(self) -> None:
        for step in set(self.steps()[: -self.keep]) - self.keep_steps:
            # Renamed first: a removal cut short must not look like a damaged checkpoint.
            os.rename(self._path(step), self.folder / f'tmp_{step:08d}')
        self._remove_unfinished()

    def _remove_unfinished(self) -> None:
        for path in self.folder.glob('tmp_*'):
            shutil.rmtree(path, ignore_errors=True)


class _DamagedError(Exception):
    """A checkpoint that cannot be trusted; the message names the file and the reason."""


def _describe(tree: Any) -> dict[str, str]:
    """The dtype and shape of each leaf by its path, such as `params/Dense_0/kernel`: `float32 (3, 64)`."""

    def describe(leaf: Any) -> str:
        if leaf is None or leaf is traverse_util.empty_node:
            return 'empty'
        leaf = leaf if hasattr(leaf, 'dtype') else np.asarray(leaf)
        return f'{leaf.dtype} {leaf.shape}'

    flat = traverse_util.flatten_dict(serialization.to_state_dict(tree), keep_empty_nodes=True, sep='/')
    return {path: describe(leaf) for path, leaf in flat.items()}


def _write(folder: Path, content: dict[str, Any]) -> dict[str, Any]:
    """Write a state and its manifest into a new folder, down to the disk; the manifest."""
    folder.mkdir()
    with _without_traceback_of_clu():
        clu_checkpoint.Checkpoint(str(folder)).save(content)
    files = {path.name: [path.stat().st_size, _sha256(path)] for path in sorted(folder.glob(f'{CONTENT}.*'))}
    manifest = {'step': int(content['step']), 'files': files, 'leaves': _describe(content)}
    (folder / MANIFEST).write_text(json.dumps({**manifest, 'sha256': _checksum(manifest)}, indent=1))
    for path in (*folder.iterdir(), folder):
        _sync(path)
    return manifest


def _read(folder: Path, template: State) -> State:
    leaves, expected = _verify(folder)['leaves'], _describe(template)
    wrong = [path for path in {*leaves, *expected} if leaves.get(path) != expected.get(path)]
    wrong.sort(key=lambda path: (not path.startswith('params/'), path))  # before the optimiser's copies of the same leaf
    if wrong:
        more = f' (and {len(wrong) - 1} more leaves differ)' if wrong[1:] else ''
        raise UserError(
            f'{folder}: found {wrong[0]} {leaves.get(wrong[0], "missing")}, expected {expected.get(wrong[0], "none")}'
            f'{more}: use the config with which this checkpoint was trained, or another --model_dir'
        )
    try:
        # CLU stumbles over a damaged list of its files, so it is told of a folder where there is none.
        content = clu_checkpoint.Checkpoint(str(folder / 'no_list')).load_state(None, str(folder / CONTENT))
        found = _describe(content)
    except Exception as error:  # whatever a parser may stumble over in a file that is not ours
        raise _DamagedError(f'{folder / STATE}: found {error}') from error
    if found != leaves:
        raise _DamagedError(f'{folder / STATE}: found other leaves than those in {MANIFEST}')
    # Copied, because what Flax returns are read-only, unaligned views of the file.
    return serialization.from_state_dict(template, jax.tree.map(np.array, content))


def _verify(folder: Path) -> dict[str, Any]:
    """The manifest, after checking the files it lists."""
    manifest = _manifest(folder)
    for name, (size, sha256) in manifest['files'].items():
        path = folder / name
        try:
            found = path.stat().st_size
            if found != size:
                raise _DamagedError(f'{path}: found {found} of {size} bytes')
            if _sha256(path) != sha256:
                raise _DamagedError(f'{path}: found changed bytes (SHA-256 differs)')
        except OSError as error:
            raise _DamagedError(f'{path}: found no readable file ({error.strerror})') from error
    return manifest


def _manifest(folder: Path) -> dict[str, Any]:
    path = folder / MANIFEST
    try:
        with path.open('rb') as file:
            manifest = json.loads(file.read(MANIFEST_BYTES))
        sha256 = manifest.pop('sha256')
    except OSError as error:
        raise _DamagedError(f'{path}: found no readable file ({error.strerror})') from error
    except (ValueError, KeyError, AttributeError, TypeError, RecursionError) as error:
        raise _DamagedError(f'{path}: found no valid manifest') from error
    if sha256 != _checksum(manifest):
        raise _DamagedError(f'{path}: found changed bytes (SHA-256 differs)')
    if folder.name != f'step_{manifest["step"]:08d}':
        raise _DamagedError(f'{path}: found step {manifest["step"]}, which is not that of its folder')
    return manifest


def _checksum(manifest: dict[str, Any]) -> str:
    return hashlib.sha256(json.dumps(manifest, sort_keys=True).encode()).hexdigest()


def _sha256(path: Path) -> str:
    with path.open('rb') as file:
        return hashlib.file_digest(file, 'sha256').hexdigest()


def _sync(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _without_traceback_of_clu() -> Iterator[None]:
    """CLU logs the traceback of a save that fails, which would stand above our sentence."""
    logger = logging.getLogger('absl')
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
