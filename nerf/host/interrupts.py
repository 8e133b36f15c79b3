"""Ctrl-C at any moment is one line: imported first by the two commands, before anything that takes time to import."""

import contextlib
import os
import signal
import sys
from collections.abc import Iterator
from types import FrameType
from typing import NoReturn

from nerf.errors import INTERRUPTED


def end_at_once(signum: int = signal.SIGINT, frame: FrameType | None = None) -> NoReturn:
    """Say that the user interrupted, and end the process without the work that Python does at exit."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stderr.write('\ninterrupted\n')
        sys.stderr.flush()
    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
    os._exit(INTERRUPTED)


@contextlib.contextmanager
def interruptible() -> Iterator[None]:
    """Let Ctrl-C raise KeyboardInterrupt inside the block, so that what was begun is cleaned up, and then end at once."""
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        yield
    except KeyboardInterrupt:
        end_at_once()
    finally:
        signal.signal(signal.SIGINT, end_at_once)


signal.signal(signal.SIGINT, end_at_once)
