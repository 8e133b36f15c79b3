"""Saving the states of a training run: CLU's checkpoint and a manifest, in a folder that appears when it is complete.

A folder is written under a temporary name and renamed when it is complete: the rename is the moment at which the state counts
as saved, so a run killed at any time leaves the state before.
"""

from nerf.data.feed import quiet_tensorflow  # noqa: F401  # isort: skip  (before anything imports TensorFlow)

import contextlib
import json
import logging
import os
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import jax
import numpy as np
import tensorflow as tf
from clu import checkpoint as clu_checkpoint
from flax import serialization

from nerf.errors import UserError
from nerf.host.files import make_folder, sync
from nerf.train.checkpoints import (
    CONTENT,
    MANIFEST,
    STATE,
    Checkpoints,
    DamagedError,
    checksum,
    describe,
    sha256_of,
    verify,
)


class CheckpointWriter(Checkpoints):
    """The states saved in one local folder, for writing too: one process saves, any number restore."""

    def __init__(self, folder: str, keep: int = 3, keep_steps: Sequence[int] = (), run: str | None = None) -> None:
        """Use `folder`, which need not exist yet; of what is saved, the last `keep` and all of `keep_steps` survive.

        `run` is the identity of the run, which is written into each checkpoint.

        Raises:
            UserError: if `keep` is less than 1, which would delete what was just saved.
        """
        if keep < 1:
            raise UserError(f'number of checkpoints to keep: found {keep}, expected 1 or more: raise it')
        super().__init__(folder, run)
        self.keep = keep
        self.keep_steps = frozenset(keep_steps)

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
            make_folder(self.folder.parent, self.folder.name)
            self.refuse_unknown_files()
            self._remove_unfinished()
            manifest = _write(unfinished, content, self.run)
            if not self._is_saved(manifest):
                os.rename(unfinished, self.path(step))
                sync(self.folder)
                self._remove_old()
        except (OSError, tf.errors.OpError) as error:
            reason = ' '.join(str(error).split())
            raise UserError(
                f'{self.folder}: step {step} could not be saved ({reason}), expected a writable folder with room: '
                'free some space or choose another --model_dir'
            ) from error
        finally:
            shutil.rmtree(unfinished, ignore_errors=True)
        return str(self.path(step))

    def _is_saved(self, manifest: dict[str, Any]) -> bool:
        """Whether this state is there already; if not, see to it that it will be the newest."""
        step = manifest['step']
        for later in (n for n in self.folders() if n >= step):
            path = self.path(later)
            try:
                found = verify(path)
            except DamagedError:
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
            os.rename(self.path(step), self.folder / f'tmp_{step:08d}')
        self._remove_unfinished()

    def _remove_unfinished(self) -> None:
        for path in self.folder.glob('tmp_*'):
            shutil.rmtree(path, ignore_errors=True)


def _write(folder: Path, content: dict[str, Any], run: str | None) -> dict[str, Any]:
    """Write a state and its manifest into a new folder, down to the disk; the manifest."""
    folder.mkdir()
    with _without_traceback_of_clu():
        clu_checkpoint.Checkpoint(str(folder)).save(content)
    files = {path.name: [path.stat().st_size, sha256_of(path)] for path in sorted(folder.glob(f'{CONTENT}.*'))}
    manifest = {'step': int(content['step']), 'files': files, 'leaves': describe(content)}
    if run is not None:
        manifest['run'] = run
    (folder / MANIFEST).write_text(json.dumps({**manifest, 'sha256': checksum(manifest)}, indent=1))
    for path in (*folder.iterdir(), folder):
        sync(path)
    return manifest


@contextlib.contextmanager
def _without_traceback_of_clu() -> Iterator[None]:
    """CLU logs the traceback of a save that fails, which would stand above our sentence."""
    logger = logging.getLogger('absl')
    before, logger.disabled = logger.disabled, True
    try:
        yield
    finally:
        logger.disabled = before
