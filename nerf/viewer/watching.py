"""Viewer during training: a hook of the training loop, which renders between two steps.

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
) -> Iterator[list[Callable[[int, TrainState], None]]]:
    """Serve the page inside the block; yields the hooks to call after each training step, none if `address` is None.

    Raises:
        UserError: as `check_watching`.
    """
    if address is None:
        yield []
        return
    sessions = Sessions()
    cameras = training(scene)
    pictures = Pictures(model, config.data.background, cameras, subject_of(cameras, config.scene_type), config.render_chunk)
    with serving(make_stage(model, scene, config, model_dir), sessions, address):
        yield [Watcher(sessions, pictures)]


class Watcher:
    """Hook after each training step; does nothing while no browser is connected."""

    def __init__(self, sessions: Sessions, pictures: Pictures) -> None:
        """Start with a picture due at once."""
        self._sessions, self._pictures = sessions, pictures
        self._pause_until = 0.0

    def __call__(self, step: int, state: TrainState) -> None:
        """Render after changes of view; else show the training progress, if that takes no more than its share of the time."""
        if not len(self._sessions):
            return
        if time.monotonic() > self._pause_until:
            self._sessions.change_all()
        elif not self._sessions.has_requests():
            return
        jax.block_until_ready(state.step)  # else the measured time would include the steps before it
        began = time.monotonic()
        for _ in range(len(self._sessions)):
            work(self._sessions, self._pictures, state.variables, only_answers=True)
        ended = time.monotonic()
        self._pause_until = ended + (ended - began) * (1 - SHARE) / SHARE
