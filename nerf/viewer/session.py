"""Sessions of the browsers: the pictures that each waits for, and the order in which they are rendered."""

import dataclasses
import threading
import time
from collections.abc import Callable
from typing import Protocol

import numpy as np

from nerf.host.console import Progress
from nerf.viewer.failures import logged_failures
from nerf.viewer.orders import Orders
from nerf.viewer.pictures import Settings, finer
from nerf.viewer.views import View

REPORT_EVERY = 0.5  # s between two reports of a progress


class Page(Protocol):
    """Interface of a session to the page in its browser."""

    def show(self, picture: np.ndarray, depth: np.ndarray | None) -> None:
        """Set a picture, uint8 [h, w, 3], as the background; `depth` [h, w] hides drawn cameras behind surfaces."""

    def say(self, text: str) -> None:
        """Show a line of text about the picture."""

    def report(self, text: str, share: float | None) -> None:
        """Show a line about what goes on besides pictures, and the share of it that is done; None: it is finished."""


@dataclasses.dataclass(eq=False)
class Session:
    """One browser: its view and settings, and the state of its picture.

    Attributes:
        page: receives the pictures.
        view: None until the browser has sent one.
        settings: of the picture.
        changed: time of the first change of view, settings or scene since the last request, s; None: no change is waiting.
        size: pixels of the last picture; None: none since the last change, or not refinable.
        served: time of the last picture, s.
    """

    page: Page
    view: View | None = None
    settings: Settings = dataclasses.field(default_factory=Settings)
    changed: float | None = None
    size: int | None = None
    served: float = 0.0


@dataclasses.dataclass(frozen=True)
class RenderRequest:
    """Request for one picture of a session, with its view and settings at that time.

    `size` in pixels is that of a refinement; None: the first picture after a change, as fast as possible.
    """

    session: Session
    view: View
    settings: Settings
    size: int | None


class Sessions:
    """All connected browsers. Pages change them from any thread; one thread takes the requests.

    Attributes:
        reported: line and share of the last report, for pages that open later, see `Page.report`.
        orders: for videos.
    """

    def __init__(self) -> None:
        """Start without browsers."""
        self._sessions: list[Session] = []
        self._news = threading.Condition()
        self.reported: tuple[str, float | None] = ('ready', None)
        self.orders = Orders()
        self._quiet_until = 0.0

    def __len__(self) -> int:
        return len(self._sessions)

    def add(self, page: Page) -> Session:
        """Add the session of a new browser."""
        session = Session(page)
        with self._news:
            self._sessions.append(session)
        return session

    def remove(self, session: Session) -> None:
        """Remove the session of a browser that has disconnected."""
        with self._news:
            self._sessions = [each for each in self._sessions if each is not session]

    def change(self, session: Session, view: View | None = None, settings: Settings | None = None) -> None:
        """Change the view or settings of a session, and request a new picture."""
        with self._news:
            session.view, session.settings = view or session.view, settings or session.settings
            session.changed = session.changed or time.monotonic()
            self._news.notify_all()

    def change_all(self) -> None:
        """Request new pictures for all browsers, after the scene itself has changed."""
        for session in list(self._sessions):
            self.change(session)

    def report(self, text: str, share: float | None = None) -> None:
        """Show on all pages what goes on besides pictures, see `Page.report`."""
        self.reported = text, share
        for session in list(self._sessions):
            with logged_failures('a report to a browser'):
                session.page.report(text, share)

    def report_progress(self, progress: Progress) -> None:
        """Show the line and share of a progress on all pages, now and then, and when it is finished."""
        now, is_finished = time.monotonic(), progress.done >= progress.total
        if is_finished or now > self._quiet_until:
            self._quiet_until = now + REPORT_EVERY
            self.report(progress.line(), None if is_finished else progress.done / progress.total)

    def has_requests(self) -> bool:
        """Return whether a change of a session still waits for its picture."""
        return any(each.view is not None and each.changed is not None for each in self._sessions)

    def next_request(self, timeout: float, only_answers: bool = False) -> RenderRequest | None:
        """Return the next request: for the oldest change, else a refinement for the session that was served longest ago.

        It waits up to `timeout` seconds for one, else returns None; `only_answers` leaves out refinements.
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
        """Record that a picture of `size` pixels was shown; None: it cannot be refined."""
        with self._news:
            errand.session.size, errand.session.served = size, time.monotonic()


class ViewChanged(Exception):
    """Change of some browser's view or settings: the current refinement is obsolete, or has to wait."""


def unless_view_changed(sessions: Sessions, errand: RenderRequest, check: Callable[[], None]) -> Callable[[], None]:
    """Return a callback for between blocks: it runs `check`, and raises `ViewChanged` if a change overtakes a refinement.

    The first picture after a change is always finished, or a camera in constant motion would never be shown anything.
    """

    def between() -> None:
        check()
        if errand.size is not None and sessions.has_requests():
            raise ViewChanged

    return between
