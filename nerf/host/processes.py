"""Several processes as one: starting them, agreeing between them, and stopping them alike."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType

import jax
import numpy as np
from jax.experimental import multihost_utils

from nerf.errors import UserError


def start(is_cluster: bool, coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    """Join the other processes of a run: found by themselves in a cluster, else by the coordinator's `host:port`.

    Raises:
        UserError: if only some of coordinator, num_processes and process_id are given, or if joining fails.
    """
    given = [value is not None for value in (coordinator, num_processes, process_id)]
    if any(given) and not all(given):
        raise UserError('--coordinator, --num_processes and --process_id belong together: give all three or none')
    if not is_cluster and not any(given):
        return
    try:
        jax.distributed.initialize(coordinator, num_processes, process_id)
    except (ValueError, RuntimeError) as error:
        raise UserError(
            f'the processes could not be joined ({error}): check --coordinator, --num_processes and --process_id'
        ) from error


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return jax.process_index() == 0


def wait_for_all(name: str) -> None:
    """Wait until all processes have come to the place of this name."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def any_of(value: bool) -> bool:
    """Whether the value is true in any process."""
    if jax.process_count() == 1:
        return value
    return bool(np.any(multihost_utils.process_allgather(np.array(value))))


class Interrupted(Exception):
    """The user asked to stop (SIGINT or SIGTERM); what was finished is saved."""


class Interruption:
    """Remembers that SIGINT or SIGTERM came, so that work can end at a good moment."""

    def __init__(self) -> None:
        """Nothing has come yet."""
        self._has_come = False

    def _remember(self, signum: int, frame: FrameType | None) -> None:
        self._has_come = True

    @contextlib.contextmanager
    def catch_signals(self) -> Iterator['Interruption']:
        """Listen for the two signals inside the block, and leave them as they were behind it."""
        before = {number: signal.signal(number, self._remember) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def is_requested(self) -> bool:
        """Whether any process has been asked to stop; all processes must ask together, and agree."""
        return any_of(self._has_come)

    def check(self) -> None:
        """Raise `Interrupted` if any process has been asked to stop."""
        if self.is_requested():
            raise Interrupted
