"""Videos that pages order: rendered one after the other, in the one thread that computes, once no training does."""

import dataclasses
import threading
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path

from nerf.errors import UserError
from nerf.host import processes
from nerf.viewer.failures import log_failure, logged_failures

MOST = 10  # orders that wait


class Stopped(Exception):
    """Stop of one video, requested by the page that ordered it."""


@dataclasses.dataclass(eq=False)
class Order:
    """Order for one video.

    Attributes:
        file: the path file to follow.
        shown: one of `nerf.render.outputs.OUTPUTS`.
        finished: called once with a line for the page: where the video is, or why there is none.
        is_stopped: whether its page does not want it any more.
    """

    file: Path
    shown: str
    finished: Callable[[str], None]
    is_stopped: bool = False

    def check(self) -> None:
        """Raise `Stopped` if its page does not want it any more."""
        if self.is_stopped:
            raise Stopped


class Orders:
    """Queue of orders: pages place them from any thread, one thread takes them.

    Attributes:
        is_open: whether videos can be ordered now; not during training.
    """

    def __init__(self) -> None:
        """Start closed and empty."""
        self.is_open = False
        self._waiting: deque[Order] = deque()
        self._lock = threading.Lock()

    def place(self, order: Order) -> None:
        """Add an order.

        Raises:
            UserError: a training is going on, or too many wait.
        """
        with self._lock:
            if not self.is_open:
                raise UserError('Videos are rendered when the training is finished: the path is saved, try again then.')
            if len(self._waiting) >= MOST:
                raise UserError(f'{MOST} videos wait already: try again when they are rendered.')
            self._waiting.append(order)

    def take(self) -> Order | None:
        """Return the oldest order, or None."""
        with self._lock:
            return self._waiting.popleft() if self._waiting else None


def fulfil(order: Order, render: Callable[[Order], Sequence[Path]]) -> None:
    """Render a video and say on its page what came of it; a failure is logged, and ends nothing.

    Raises:
        processes.Interrupted: the user asked the whole viewer to stop.
    """
    try:
        order.check()
        said = f'Video: {", ".join(map(str, render(order)))}'
    except Stopped:
        said = 'Stopped. Finished frames are kept: the same path goes on from there.'
    except UserError as error:
        said = str(error)
    except processes.Interrupted:
        raise
    except Exception as error:
        log_failure('a video', error)
        said = 'Failed: see the log of the viewer.'
    with logged_failures('a report to a browser'):
        order.finished(said)
