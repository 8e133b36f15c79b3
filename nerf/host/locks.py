"""One training at a time in a folder: a lock that its process holds, and that ends with the process."""

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path

from nerf.errors import UserError

try:
    import fcntl
except ImportError:  # no such locks on Windows, where nothing is locked
    fcntl = None

FILE = '.training_lock'


@contextlib.contextmanager
def lock_training(folder: Path) -> Iterator[None]:
    """Hold the lock of a run's folder inside the block.

    Raises:
        UserError: another process trains there, named by its number; or the lock cannot be written.
    """
    if fcntl is None:
        yield
        return
    path = folder / FILE
    try:
        descriptor = os.open(path, os.O_CREAT | os.O_RDWR | os.O_NOFOLLOW, 0o666)
    except OSError as error:
        raise UserError(f'{path}: cannot be written ({error.strerror}): choose another --model_dir') from error
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.read(descriptor, 32).decode(errors='replace').strip() or 'another'
            raise UserError(f'{folder}: process {holder} trains there; wait for it, or choose another --model_dir') from None
        except OSError:  # a file system without locks: train without one
            yield
            return
        with contextlib.suppress(OSError):  # a full disk: the number is for people only
            os.ftruncate(descriptor, 0)
            os.pwrite(descriptor, str(os.getpid()).encode(), 0)
        yield
    finally:
        os.close(descriptor)
