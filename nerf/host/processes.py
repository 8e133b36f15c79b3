"""Multi-process runs: initialisation, barriers, common decisions, and a common stop on SIGINT or SIGTERM."""

import contextlib
import signal
from collections.abc import Iterator
from types import FrameType
from typing import Any

import jax
import numpy as np
from jax.experimental import multihost_utils

from nerf.errors import UserError


def start(is_cluster: bool, coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
    """Join the other processes of a run: detected automatically in a cluster, else by the coordinator's `host:port`.

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
    """Return whether this is process 0, the only one that writes files."""
    return jax.process_index() == 0


def wait_for_all(name: str) -> None:
    """Wait until all processes have reached the barrier of this name."""
    if jax.process_count() > 1:
        multihost_utils.sync_global_devices(name)


def any_of(value: bool) -> bool:
    """Return whether the value is true in any process."""
    if jax.process_count() == 1:
        return value
    return bool(np.any(multihost_utils.process_allgather(np.array(value))))


def of_first(values: Any) -> np.ndarray:
    """Return numbers or booleans as process 0 has them: it alone reads and writes files."""
    if jax.process_count() == 1:
        return np.asarray(values)
    return np.asarray(multihost_utils.broadcast_one_to_all(np.asarray(values)))


class Interrupted(Exception):
    """Stop requested by the user (SIGINT or SIGTERM); finished work is saved."""


class Interruption:
    """Record of a SIGINT or SIGTERM, so that work can end at a safe point."""

    def __init__(self) -> None:
        """Start without a request to stop."""
        self._has_come = False

    def _remember(self, signum: int, frame: FrameType | None) -> None:
        self._has_come = True

    @contextlib.contextmanager
    def catch_signals(self) -> Iterator['Interruption']:
        """Handle the two signals inside the block, and restore the previous handlers after it."""
        before = {number: signal.signal(number, self._remember) for number in (signal.SIGINT, signal.SIGTERM)}
        try:
            yield self
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def is_requested(self) -> bool:
        """Return whether any process was asked to stop; all processes must call this together, and get the same answer."""
        return any_of(self._has_come)

    def check(self) -> None:
        """Raise `Interrupted` if any process has been asked to stop."""
        if self.is_requested():
            raise Interrupted
