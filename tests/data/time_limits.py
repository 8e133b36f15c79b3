"""A time limit for one case of a mutation harness."""

import contextlib
import signal
from collections.abc import Iterator


class Hang(BaseException):
    """A case took too long. What catches every exception does not catch this one."""


@contextlib.contextmanager
def time_limit(seconds: float) -> Iterator[None]:
    """Raise `Hang` in the block once it has taken so long."""

    def stop(*_):
        raise Hang(f'more than {seconds} s')

    before = signal.signal(signal.SIGALRM, stop)
    signal.setitimer(signal.ITIMER_REAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)
