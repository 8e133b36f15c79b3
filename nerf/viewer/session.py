"""What each browser waits for, and which of them is served next."""

import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np

from nerf.viewer.pictures import Settings, finer
from nerf.viewer.views import View


class Page(Protocol):
    """What a session needs of the page in its browser."""

    def show(self, picture: np.ndarray, depth: np.ndarray | None) -> None:
        """Put a picture, uint8 [h, w, 3], behind everything; what is drawn into the scene is hidden by `depth` [h, w]."""

    def say(self, text: str) -> None:
        """A line about what is shown."""


@dataclasses.dataclass(eq=False)
class Session:
    """One browser: what it wants to see, and what it has seen of it.

    Attributes:
        page: where pictures go.
        view: None until its browser has said from where it looks.
        settings: what it wants to see.
        changed: when view or settings last changed, or the scene did, s; None: that was answered.
        size: pixels of the last picture; None: all was shown, or nothing yet.
        served: when it last got a picture, s.
    """

    page: Page
    view: View | None = None
    settings: Settings = dataclasses.field(default_factory=Settings)
    changed: float | None = None
    size: int | None = None
    served: float = 0.0


@dataclasses.dataclass(frozen=True)
class RenderRequest:
    """One picture to make: of which session, as it was when it was asked for; `size` None: an answer, as fast as can be."""

    session: Session
    view: View
    settings: Settings
    size: int | None


class Sessions:
    """All browsers. Pages change them from any thread; one thread takes the errands."""

    def __init__(self) -> None:
        """Nobody is there."""
        self._sessions: list[Session] = []
        self._news = threading.Condition()

    def __len__(self) -> int:
        return len(self._sessions)

    def add(self, page: Page) -> Session:
        """A browser came."""
        session = Session(page)
        with self._news:
            self._sessions.append(session)
        return session

    def remove(self, session: Session) -> None:
        """A browser went."""
        with self._news:
            self._sessions = [each for each in self._sessions if each is not session]

    def change(self, session: Session, view: View | None = None, settings: Settings | None = None) -> None:
        """A browser wants to see something else."""
        with self._news:
            session.view, session.settings = view or session.view, settings or session.settings
            session.changed = session.changed or time.monotonic()
            self._news.notify_all()

    def change_all(self) -> None:
        """The scene itself changed."""
        for session in list(self._sessions):
            self.change(session)

    def has_requests(self) -> bool:
        """Whether a change has not been answered yet."""
        return any(each.view is not None and each.changed is not None for each in self._sessions)

    def next_request(self, timeout: float, only_answers: bool = False) -> RenderRequest | None:
        """What is to be done next: the oldest change, else to refine the picture of who was served longest ago.

        None if nothing is, for `timeout` seconds.
        """
        with self._news:
            if self._next(only_answers) is None and timeout > 0:
                self._news.wait(timeout)
            found = self._next(only_answers)
            if found is None:
                return None
            session, size = found
            if size is None:
                session.changed = session.size = None
            return RenderRequest(session, session.view, session.settings, size)

    def _next(self, only_answers: bool) -> tuple[Session, int | None] | None:
        present = [each for each in self._sessions if each.view is not None]
        waiting = [each for each in present if each.changed is not None]
        if waiting:
            return min(waiting, key=lambda each: each.changed), None
        unfinished = [each for each in present if each.size is not None and finer(each.size, each.settings.most)]
        if only_answers or not unfinished:
            return None
        session = min(unfinished, key=lambda each: each.served)
        return session, finer(session.size, session.settings.most)

    def done(self, errand: RenderRequest, size: int | None) -> None:
        """A picture of `size` pixels was shown; None: there is nothing finer to show."""
        with self._news:
            errand.session.size, errand.session.served = size, time.monotonic()


class ViewChanged(Exception):
    """Someone wants to see something else: what is being refined is of no use, or has to wait."""


def unless_view_changed(sessions: Sessions, errand: RenderRequest, check: Callable[[], None]) -> Callable[[], None]:
    """Run `check` between blocks, and raise `ViewChanged` where a refinement is overtaken; answers are always finished.

    Else a camera that moves all the time would never be shown anything.
    """

    def between() -> None:
        check()
        if errand.size is not None and sessions.has_requests():
            raise ViewChanged

    return between
