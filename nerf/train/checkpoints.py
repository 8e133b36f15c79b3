"""Saved states of a training run: read behind a check of keys, shapes, dtypes and checksums.

    step_00000250/ckpt-1.*         what CLU writes, one state per folder; ckpt-1.flax is a Flax message (msgpack)
                  manifest.json    step, the run it is of, size and SHA-256 of each file, shape and dtype of each leaf

`nerf.train.saving` writes them. Reading needs neither TensorFlow nor CLU. CLU alone would load flipped bytes and other shapes
without an error, and begin again at step 0 when its own list of files is lost; that list is never read here.
"""

import contextlib
import logging
import os
import re
from pathlib import Path
from typing import Any, TypeVar

import jax
import numpy as np
from flax import serialization, traverse_util

from nerf.errors import UserError
from nerf.host import untrusted
from nerf.host.untrusted import UnreadableError, checksum

State = TypeVar('State')

MANIFEST = 'manifest.json'
MANIFEST_BYTES = 2**24  # no model has so many leaves; a file that is longer is not read to its end
CONTENT = 'ckpt-1'  # CLU's name for a first checkpoint
STATE = f'{CONTENT}.flax'
LAST_STEP = 2**31 - 1  # steps are int32
OVERHEAD = 2**16  # bytes of a file of CLU beside the leaves, and as many more for each leaf's name
_log = logging.getLogger('nerf')


class Checkpoints:
    """The states saved in one local folder, for reading."""

    def __init__(self, folder: str, run: str | None = None) -> None:
        """Use `folder`, which need not exist yet; `run` is the identity of its run, which its checkpoints must have."""
        self.folder = Path(folder)
        self.run = run

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
            UserError: if all states are damaged; if `step` is missing or damaged; if it is of another run, or a leaf differs
                from the template's in key, shape or dtype (another model is no damage: no older state is tried).
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
                return _read(self.path(each), template, self.run)
            except DamagedError as damage:
                _log.warning('damaged checkpoint skipped: %s', damage)
                last = damage
        raise UserError(f'{last}, expected an intact checkpoint and found no other to use: restore {self.folder} from a copy')

    def path(self, step: int) -> Path:
        """Return the folder of a step."""
        return self.folder / f'step_{step:08d}'

    def folders(self) -> list[int]:
        """Return the steps that have a folder, damaged or not, ascending."""
        try:
            names = os.listdir(self.folder)
        except (FileNotFoundError, NotADirectoryError):
            names = []
        except OSError as error:
            raise UserError(f'{self.folder}: cannot be read ({error.strerror}): allow reading it') from error
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


def _read(folder: Path, template: State, run: str | None) -> State:
    manifest, expected = read_manifest(folder), describe(template)
    leaves = manifest['leaves']
    if None not in (run, manifest.get('run')) and manifest['run'] != run:
        raise UserError(
            f'{folder}: found a checkpoint of another run, expected one of the run that {folder.parent.parent} describes: '
            'remove it, or restore the folder from a copy'
        )
    wrong = [path for path in {*leaves, *expected} if leaves.get(path) != expected.get(path)]
    wrong.sort(key=lambda path: (not path.startswith('params/'), path))  # before the optimiser's copies of the same leaf
    if wrong:
        more = f' (and {len(wrong) - 1} more leaves differ)' if wrong[1:] else ''
        found = f'{wrong[0]:.200} {leaves.get(wrong[0], "missing"):.80}'
        raise UserError(
            f'{folder}: found {found if found.isprintable() else ascii(found)}, expected {expected.get(wrong[0], "none")}'
            f'{more}: use the config with which this checkpoint was trained, or another --model_dir'
        )
    size = sum(leaf.size * np.dtype(leaf.dtype).itemsize for leaf in jax.tree.leaves(jax.eval_shape(lambda: template)))
    verify(folder, most=2 * size + OVERHEAD * (1 + len(leaves)))
    try:
        content = serialization.msgpack_restore(untrusted.read_bytes(folder / STATE, manifest['files'][STATE][0]))
        if describe(content) != leaves:
            raise DamagedError(f'{folder / STATE}: found other leaves than those in {MANIFEST}')
        # Copied, because what Flax returns are read-only, unaligned views of the file.
        state = serialization.from_state_dict(template, jax.tree.map(np.array, content))
    except DamagedError:
        raise
    except Exception as error:  # whatever a parser may do with a file that is not ours
        raise DamagedError(f'{folder / STATE}: found no state ({untrusted.reason_of(error)})') from error
    if content['step'] != manifest['step']:
        raise DamagedError(f'{folder / STATE}: found another step than that in {MANIFEST}')
    return state


def verify(folder: Path, most: int | None = None) -> dict[str, Any]:
    """Return the manifest of a checkpoint's folder, after checking the files it lists, none of more than `most` bytes.

    Raises:
        DamagedError: a file that is missing or changed.
    """
    manifest = read_manifest(folder)
    for name, (size, sha256) in manifest['files'].items():
        path = folder / name
        if most is not None and size > most:
            raise DamagedError(f'{path}: found {size} bytes, expected at most {most} by the leaves in {MANIFEST}')
        try:
            found = sha256_of(path, size)
        except UnreadableError as error:
            raise DamagedError(f'{path}: {error}') from error
        if found != sha256:
            raise DamagedError(f'{path}: found changed bytes (SHA-256 differs)')
    return manifest


def read_manifest(folder: Path) -> dict[str, Any]:
    """Read a checkpoint's manifest and check it against its own checksum, its folder's step and the types of its entries.

    Raises:
        DamagedError: if it cannot be trusted.
    """
    path = folder / MANIFEST
    try:
        manifest = untrusted.read_json(path, MANIFEST_BYTES)
    except UnreadableError as error:
        raise DamagedError(f'{path}: found no valid manifest ({error})') from error
    if not isinstance(manifest, dict) or 'sha256' not in manifest:
        raise DamagedError(f'{path}: found no valid manifest')
    if manifest.pop('sha256') != checksum(manifest):
        raise DamagedError(f'{path}: found changed bytes (SHA-256 differs)')
    wrong = next((name for name, is_right in _ENTRIES.items() if not is_right(manifest.get(name))), None)
    if wrong:
        raise DamagedError(f'{path}: found no valid manifest (its entry {wrong} is missing or of another kind)')
    if folder.name != f'step_{manifest["step"]:08d}':
        raise DamagedError(f'{path}: found step {manifest["step"]}, which is not that of its folder')
    return manifest


def _is_step(value: Any) -> bool:
    return type(value) is int and 0 <= value <= LAST_STEP


def _are_files(value: Any) -> bool:
    """Whether these are names of files in the same folder, each with its size and checksum, the state among them."""
    return isinstance(value, dict) and STATE in value and all(_is_file(*each) for each in value.items())


def _is_file(name: str, facts: Any) -> bool:
    if not re.fullmatch(rf'{CONTENT}\.[\w.-]{{1,80}}', name, re.ASCII) or not isinstance(facts, list) or len(facts) != 2:
        return False
    return type(facts[0]) is int and facts[0] >= 0 and isinstance(facts[1], str)


def _are_leaves(value: Any) -> bool:
    return isinstance(value, dict) and all(isinstance(each, str) for each in value.values())


_ENTRIES = {
    'step': _is_step,
    'files': _are_files,
    'leaves': _are_leaves,
    'run': lambda value: value is None or isinstance(value, str),
}


def sha256_of(path: Path, size: int | None = None) -> str:
    """Compute the SHA-256 of a file, of exactly this size if one is given.

    Raises:
        UnreadableError: it is none, or of another size.
    """
    return untrusted.sha256_of(path, path.stat().st_size if size is None else size)
