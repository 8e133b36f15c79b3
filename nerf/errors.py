"""How a user's mistake ends: one sentence, no traceback, exit status 1."""

import sys
from collections.abc import Callable, Iterable
from typing import TypeVar

Result = TypeVar('Result')


class UserError(Exception):
    """A mistake the user can mend: the message names the file or option, what was found, expected, and what to do."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """The error for a name that is in no registry, with the names that are."""
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
