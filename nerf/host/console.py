"""Terminal output: log lines, and progress as a bar in a terminal or as plain lines elsewhere; none of it ends the work."""

import contextlib
import logging
import os
import sys
import time
from collections.abc import Iterator

import tqdm
from absl import logging as absl_logging

_log = logging.getLogger('nerf')
SAY_EVERY = 10.0  # seconds between two lines of a `Progress` that is no bar


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


class Progress:
    """Progress report with the remaining time: a bar in a terminal, elsewhere a line about every ten seconds."""

    def __init__(
        self, what: str, total: int, done: int = 0, is_quiet: bool = False, unit: str = '', after: float = 0.0
    ) -> None:
        """Start the report: `what` is done `total` times, of which `done` are finished already.

        `unit` names what is counted, beside the rate. In the first `after` seconds nothing is shown: what is done by then
        needs no report.
        """
        self.what, self.total, self.done = what, total, done
        self._unit = f' {unit}' if unit else ''
        self._first, self._started, self._after = done, time.monotonic(), after
        self._said = self._started if not after else None
        self._bar = None
        self._is_quiet = is_quiet
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

    def advance(self, note: str = '') -> None:
        """Count one more as done, and show `note` beside the progress."""
        self.done += 1
        if self._bar is not None:
            with losing_output():
                self._bar.set_postfix_str(note, refresh=False)
                self._bar.update()
            return
        now = time.monotonic()
        if not self._is_quiet and self._is_due(now):
            self._said = now
            rate = (self.done - self._first) / max(now - self._started, 1e-9)
            left = (self.total - self.done) / rate
            note = f', {note}' if note else ''
            _log.info('%s %d/%d, %.2f%s/s, %.0f s left%s', self.what, self.done, self.total, rate, self._unit, left, note)

    def _is_due(self, now: float) -> bool:
        if now - self._started < self._after:
            return False
        return self._said is None or now - self._said > SAY_EVERY or self.done == self.total

    def close(self) -> None:
        """Close the bar, leaving its last state on the screen."""
        if self._bar is not None:
            with losing_output():
                self._bar.close()
