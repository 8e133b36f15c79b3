"""Atomic writes: files and folders appear complete or not at all."""

import contextlib
import os
import tempfile
from collections.abc import Iterator
from pathlib import Path

from nerf.errors import UserError


@contextlib.contextmanager
def atomic_folder(out: str) -> Iterator[Path]:
    """Yield a temporary folder, which is renamed to `out` on success and deleted on failure.

    Raises:
        UserError: `out` exists and is not an empty folder, or cannot be written.
    """
    target = Path(out).absolute()
    if target.exists() and not (target.is_dir() and not any(target.iterdir())):
        raise UserError(f'--out={out}: exists and is not an empty folder; choose another, or remove it first')
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f'.{target.name}-', dir=target.parent) as temporary:
            folder = Path(temporary, 'scene')
            folder.mkdir()
            yield folder
            if target.exists():
                target.rmdir()
            folder.rename(target)
    except OSError as error:
        raise UserError(f'--out={out}: cannot be written ({error.strerror}); choose a folder you may write to') from error


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path with the same ending, which is renamed to `path` on success: no reader finds it half written."""
    temporary = path.with_name(f'.{path.stem}.partial{path.suffix}')
    yield temporary
    os.replace(temporary, path)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file's content atomically, see `atomic_file`."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)
