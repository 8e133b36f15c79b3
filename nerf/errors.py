"""User errors: one-sentence messages without a traceback, and exit status 1."""

import sys
from collections.abc import Callable, Iterable
from typing import TypeVar

Result = TypeVar('Result')


class UserError(Exception):
    """Error that the user can correct: the message names the file or option, what was found and expected, and what to do."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Return the error for a name that is not in a registry, listing the registered names."""
    return UserError(f'unknown {kind} {name!r}: expected one of {", ".join(sorted(known))}')


def exit_with_sentence(function: Callable[..., Result]) -> Callable[..., Result]:
    """Wrap a command's `main` so that a `UserError` prints its sentence to stderr and exits with status 1."""

    def wrapped(*args: object) -> Result:
        try:
            return function(*args)
        except UserError as error:
            print(f'error: {error}', file=sys.stderr)
            sys.exit(1)

    return wrapped
