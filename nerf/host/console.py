"""Terminal output: log lines, and progress as a bar in a terminal or as plain lines elsewhere; none of it ends the work."""

import contextlib
import logging
import os
import sys
import time
from collections.abc import Callable, Iterator

import tqdm
from absl import logging as absl_logging

_log = logging.getLogger('nerf')
SAY_EVERY = 10.0  # seconds between two lines of a `Progress` that is no bar
_listeners: list[Callable[['Progress'], None]] = []


def set_up_logging(is_quiet: bool = False) -> None:
    """Set up the project's logger `nerf`: plain lines, printed above any progress bar; only warnings if `is_quiet`."""
    absl_logging.set_verbosity(absl_logging.WARNING)  # CLU and JAX log many internal details
    if not _log.handlers:
        handler = _AboveBar()
        handler.setFormatter(logging.Formatter('%(message)s'))
        _log.addHandler(handler)
        _log.propagate = False
    _log.setLevel(logging.WARNING if is_quiet else logging.INFO)


@contextlib.contextmanager
def losing_output() -> Iterator[None]:
    """Write to stdout inside the block; where that fails (a closed pipe, a full disk), all later output goes nowhere.

    A long training must not end because nobody reads its log.
    """
    try:
        yield
    except (OSError, ValueError):
        with contextlib.suppress(OSError, ValueError, AttributeError):
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


class _AboveBar(logging.Handler):
    def emit(self, record: logging.LogRecord) -> None:
        """Print one record above the progress bar."""
        prefix = f'{record.levelname.lower()}: ' if record.levelno >= logging.WARNING else ''
        with losing_output():
            tqdm.tqdm.write(prefix + self.format(record), file=sys.stdout)
            sys.stdout.flush()


@contextlib.contextmanager
def shared_progress(listener: Callable[['Progress'], None]) -> Iterator[None]:
    """Call `listener` inside the block whenever any progress is made; it decides what to show, and how often."""
    _listeners.append(listener)
    try:
        yield
    finally:
        _listeners.remove(listener)


class Progress:
    """Progress report with the remaining time: a bar in a terminal, elsewhere a line about every ten seconds.

    The rate leaves out the first one, and each kind of detour the first time: these compile.
    """

    def __init__(
        self,
        what: str,
        total: int,
        done: int = 0,
        is_quiet: bool = False,
        first: str = '',
        unit: str = '',
        after: float = 0.0,
    ) -> None:
        """Start the report: `what` is done `total` times, of which `done` are finished; `first` names what delays the first.

        `unit` names what is counted, beside the rate. In the first `after` seconds nothing is shown: what is done by then
        needs no report.
        """
        self.what, self.total, self.done = what, total, done
        self._unit = f' {unit}' if unit else ''
        self._first, self._started = done, time.monotonic()
        self._last, self._note = self._started, ''
        self._shown_from = self._started + after
        self._said = None if after else self._started
        self._detours: set[str] = set()
        self._bar = None
        self._is_quiet = is_quiet
        if done >= total:
            return
        if sys.stdout is not None and sys.stdout.isatty() and not is_quiet:
            with losing_output():
                self._bar = tqdm.tqdm(
                    desc=what,
                    total=total,
                    initial=done,
                    dynamic_ncols=True,
                    file=sys.stdout,
                    unit=self._unit or 'it',
                    delay=after,
                )
                self._bar.set_postfix_str(first, refresh=not after)
        elif first and not is_quiet:
            _log.info('%s %d/%d, %s ...', what, done, total, first)

    def advance(self, note: str = '') -> None:
        """Count one more as done, and show `note` beside the progress."""
        self.done += 1
        now = time.monotonic()
        self._last, self._note = now, note
        if self.done == self._first + 1:
            self._leave_out(now - self._started)
        for listener in list(_listeners):
            listener(self)
        if self._bar is not None:
            self._bar.initial = self._first + 1  # what its rate counts from
            self._bar.last_print_n = max(self._bar.last_print_n, self._first + 1)
            with losing_output():
                self._bar.set_postfix_str(note, refresh=False)
                self._bar.update()
            return
        if not self._is_quiet and self._is_due(now):
            self._said = now
            _log.info('%s', self.line())

    def line(self) -> str:
        """Return what is done, how fast, the time that is left and the last note, as one line."""
        words = [f'{self.what} {self.done}/{self.total}', *self._speed(self._last), *filter(None, [self._note])]
        return ', '.join(words)

    def _is_due(self, now: float) -> bool:
        if now < self._shown_from:
            return False
        return self._said is None or now - self._said > SAY_EVERY or self.done == self.total

    @contextlib.contextmanager
    def doing(self, what: str) -> Iterator[None]:
        """Name what is done in the block besides counting; the first time of each `what` is left out of the rate."""
        if self._bar is not None:
            with losing_output():
                self._bar.set_postfix_str(what)
        began = time.monotonic()
        yield
        if what not in self._detours:
            self._detours.add(what)
            self._leave_out(time.monotonic() - began)

    def close(self) -> None:
        """Close the bar, leaving its last state on the screen."""
        if self._bar is not None:
            with losing_output():
                self._bar.close()

    def _leave_out(self, seconds: float) -> None:
        """Move the start of the clock, and of the bar's, by what does not repeat."""
        self._started += seconds
        if self._bar is not None:
            self._bar.start_t += seconds
            self._bar.last_print_t += seconds

    def _speed(self, now: float) -> list[str]:
        """The rate and the time that is left, in words; nothing before two are done."""
        count = self.done - self._first - 1
        if count < 1:
            return []
        rate = count / max(now - self._started, 1e-9)
        left = self.total - self.done
        return [f'{rate:.2f}{self._unit}/s', *([f'{in_words(left / rate)} left'] if left else [])]


def in_words(seconds: float) -> str:
    """Write a duration with the precision that one wants of it: `48 s`, `12 min`, `3 h 20 min`."""
    if seconds < 100:
        return f'{seconds:.0f} s'
    minutes = round(seconds / 60)
    return f'{minutes} min' if minutes < 100 else f'{minutes // 60} h {minutes % 60} min'
