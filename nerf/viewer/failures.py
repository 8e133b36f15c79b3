"""Failures of single requests of a browser: one log line each, while the viewer and a training run go on."""

import contextlib
import logging
from collections.abc import Callable, Iterator
from typing import Any

_log = logging.getLogger('nerf')
LONGEST = 200  # characters of a message


def summary_of(error: BaseException) -> str:
    """Return type and message of an exception as one printable line."""
    text = ' '.join(f'{type(error).__name__}: {error}'.split())[:LONGEST]
    return ''.join(letter if letter.isprintable() else '?' for letter in text)


def log_failure(what: str, error: BaseException) -> None:
    """Log an exception as one line: `what` failed."""
    _log.warning('viewer: %s failed (%s)', what, summary_of(error))


@contextlib.contextmanager
def logged_failures(what: str) -> Iterator[None]:
    """Log an exception raised inside the block as one line, `what` failed, and go on after the block."""
    try:
        yield
    except Exception as error:
        log_failure(what, error)


def on_event(action: Callable[[], None]) -> Callable[[Any], None]:
    """Return a callback for an event of a page; one that fails is logged, and changes nothing else."""

    def callback(_: Any) -> None:
        with logged_failures('a request of a browser'):
            action()

    return callback
