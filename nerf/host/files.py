"""Writing files and folders: each appears complete or not at all, below the folder that was asked for, through no link."""

import contextlib
import os
import secrets
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
    target = Path(out).expanduser().absolute()
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


def cache_folder() -> Path:
    """Return the folder of all that is kept to be faster next time, in the user's cache folder."""
    return Path(os.environ.get('XDG_CACHE_HOME') or Path('~/.cache').expanduser(), 'nerf')


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """Yield a temporary path with the same ending, which gets its name on success: no reader finds a file half written.

    The temporary file has a random name and is new, so that no link that lies there is followed. Its bytes are on the disk
    before it is renamed, and the name is before this returns: a power cut leaves the old file or the new one.

    Raises:
        UserError: it cannot be written; nothing is left of it.
    """
    temporary = path.with_name(f'.{path.stem}-{secrets.token_hex(8)}.partial{path.suffix}')
    try:
        os.close(os.open(temporary, os.O_CREAT | os.O_EXCL | os.O_WRONLY, 0o666))
        yield temporary
        sync(temporary)
        os.replace(temporary, path)
        sync(path.parent)
    except OSError as error:
        reason = error.strerror or error
        raise UserError(f'{path}: cannot be written ({reason}): free some space or choose another folder') from error
    finally:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)


def write_atomically(path: Path, content: bytes) -> None:
    """Write a file's content atomically, see `atomic_file`."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(content)


def sync(path: Path) -> None:
    """Wait until a file, or a folder's list of names, is on the disk."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def make_folder(root: Path, *names: str) -> Path:
    """Make the folder `root/name/name/...` where it does not exist; `root` may be a link, nothing below it may.

    Raises:
        UserError: one of them is a link or a file, or cannot be made.
    """
    folder = root
    try:
        root.mkdir(parents=True, exist_ok=True)
        for name in names:
            folder = folder / name
            if folder.is_symlink():
                raise UserError(f'{folder}: found a link, expected a folder of this run: remove the link')
            folder.mkdir(exist_ok=True)
    except OSError as error:
        raise UserError(f'{folder}: cannot be made ({error.strerror}): choose another folder') from error
    return folder
