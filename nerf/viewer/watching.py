"""Viewer during training: a hook of the training loop, which renders between two steps, and pages that stay open after it.

It has no thread of its own: a step donates its parameters to the next one, and two threads that both use all devices can
deadlock.
"""

import contextlib
import time
from collections.abc import Callable, Iterator
from typing import Any

import jax
from flax import linen as nn

from nerf.data.scene import Scene
from nerf.errors import UserError
from nerf.host import processes
from nerf.host.console import shared_progress
from nerf.paths.cameras import training
from nerf.train.state import TrainState
from nerf.viewer.pictures import Pictures
from nerf.viewer.server import Address, check, serving
from nerf.viewer.session import Sessions
from nerf.viewer.stage import make_stage
from nerf.viewer.views import subject_of
from nerf.viewer.work import work

SHARE = 0.25  # of training time, at most, for pictures of the progress without a change of view


def check_watching(address: Address | None) -> None:
    """Refuse a training run that cannot be viewed; `address` None: no viewer is asked for.

    Raises:
        UserError: several processes train, viser is not installed, or nothing can be served there.
    """
    if address is None:
        return
    if jax.process_count() > 1:
        raise UserError(f'--viewer: {jax.process_count()} processes train, expected one; leave it out')
    check(address)


@contextlib.contextmanager
def watching(
    address: Address | None, model: nn.Module, scene: Scene, config: Any, model_dir: str
) -> Iterator['Watcher | None']:
    """Serve the page inside the block, and report all progress on it; yields the hook of training, None without `address`.

    Raises:
        UserError: as `check_watching`.
    """
    if address is None:
        yield None
        return
    sessions = Sessions()
    cameras = training(scene)
    pictures = Pictures(model, config.data.background, cameras, subject_of(cameras, config.scene_type), config.render_chunk)
    sessions.report('the training begins ...')
    with serving(make_stage(model, scene, config, model_dir), sessions, address), shared_progress(sessions.report_progress):
        yield Watcher(sessions, pictures)


class Watcher:
    """Hook after each training step; does nothing while no browser is connected.

    Attributes:
        sessions: of the pages.
    """

    def __init__(self, sessions: Sessions, pictures: Pictures) -> None:
        """Start with a picture due at once."""
        self.sessions, self._pictures = sessions, pictures
        self._pause_until = 0.0

    def __call__(self, step: int, state: TrainState) -> None:
        """Render after changes of view; else show the training progress, if that takes no more than its share of the time."""
        if not len(self.sessions):
            return
        if time.monotonic() > self._pause_until:
            self.sessions.change_all()
        elif not self.sessions.has_requests():
            return
        jax.block_until_ready(state.step)  # else the measured time would include the steps before it
        began = time.monotonic()
        for _ in range(len(self.sessions)):
            work(self.sessions, self._pictures, state.variables, only_answers=True)
        ended = time.monotonic()
        self._pause_until = ended + (ended - began) * (1 - SHARE) / SHARE

    def attentive(self, interruption: processes.Interruption, variables: Any) -> processes.Interruption:
        """Return an interruption for long work after training, which answers the browsers with these (replicated) variables."""
        return Attentive(interruption, self.sessions, self._pictures, variables)


class Attentive(processes.Interruption):
    """Interruption whose checks, between blocks of rays of some long work, also answer the browsers in the same thread."""

    def __init__(
        self,
        interruption: processes.Interruption,
        sessions: Sessions,
        pictures: Pictures,
        variables: Any,
        check: Callable[[], None] = lambda: None,
    ) -> None:
        """Hear what `interruption` hears; `check` is called as well and may raise what ends the work."""
        super().__init__()
        self._interruption, self._check = interruption, check
        self._work = lambda: work(sessions, pictures, variables, interruption.check, only_answers=True)

    def is_requested(self) -> bool:
        """Return whether the user asked to stop."""
        return self._interruption.is_requested()

    def check(self) -> None:
        """Answer one browser whose view has changed.

        Raises:
            processes.Interrupted: the user asked to stop.
        """
        super().check()
        self._check()
        self._work()
