"""User errors: one-sentence messages without a traceback, and exit status 1."""

import importlib.util
import os
import sys
from collections.abc import Callable, Iterable
from typing import TypeVar

Result = TypeVar('Result')
INTERRUPTED = 130  # by convention, 128 + the number of SIGINT


class UserError(Exception):
    """Error that the user can correct: the message names the file or option, what was found and expected, and what to do."""


def unknown(kind: str, name: str, known: Iterable[str]) -> UserError:
    """Return the error for a name that is not in a registry, listing the registered names."""
    return UserError(f'unknown {kind} {name!r}: expected one of {", ".join(sorted(known))}')


def not_installed(package: str, purpose: str, extra: str) -> UserError:
    """Return the error for a package of an extra of this project that is missing, with the command that installs it."""
    return UserError(f"{package} is not installed, {purpose}: pip install -e '.[{extra}]' in the folder of this project")


def require(package: str, purpose: str, extra: str) -> None:
    """Refuse to go on without a package, before any work is done; it is found, not imported.

    Raises:
        UserError: saying which extra to install.
    """
    if importlib.util.find_spec(package) is None:
        raise not_installed(package, purpose, extra)


def exit_with_sentence(function: Callable[..., Result]) -> Callable[..., Result]:
    """Wrap a command's `main` so that a `UserError` prints its sentence to stderr and exits with status 1.

    So do a disk that is full or cannot be written, and too little memory. Ctrl-C is one line and status 130. Output that nobody
    reads any more (`command | head -1`) ends the command silently.
    """

    def wrapped(*args: object) -> Result:
        _prepare_streams()
        try:
            return function(*args)
        except UserError as error:
            sentence, status = f'error: {error}', 1
        except KeyboardInterrupt:
            sentence, status = 'interrupted', INTERRUPTED
        except BrokenPipeError:
            os.dup2(os.open(os.devnull, os.O_WRONLY), 1)  # Python flushes stdout at exit
            sys.exit(1)
        except MemoryError:
            sentence, status = 'error: there is not enough memory: use smaller images, a smaller model or a smaller batch', 1
        except OSError as error:
            name = f'{error.filename}: ' if error.filename else ''
            sentence, status = f'error: {name}{error.strerror or error}; expected a disk with room and files you may use', 1
        print(printable(sentence), file=sys.stderr)
        sys.exit(status)

    return wrapped


def _prepare_streams() -> None:
    """Write characters that a terminal's encoding lacks as escapes, and nowhere where a stream was closed (`>&-`)."""
    for name in ('stdout', 'stderr'):
        stream = getattr(sys, name)
        if stream is None:
            setattr(sys, name, open(os.devnull, 'w'))  # noqa: SIM115, open as long as the process lives
        elif hasattr(stream, 'reconfigure'):
            stream.reconfigure(errors='backslashreplace')


def printable(text: str) -> str:
    """Return the text as one line: characters that move the cursor or are no characters as escapes."""
    return ''.join(letter if letter.isprintable() else repr(letter)[1:-1] for letter in text)
