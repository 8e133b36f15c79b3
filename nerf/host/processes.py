"""Multi-process runs: a common start and end, barriers, common decisions, and a common stop on SIGINT, SIGTERM or SIGHUP."""

import contextlib
import json
import logging
import signal
import socket
import time
import traceback
from collections.abc import Callable, Iterator, Mapping
from types import FrameType
from typing import Any, TypeVar

import jax
import numpy as np
from jax.experimental import multihost_utils

from nerf.errors import UserError
from nerf.host.joining import meet, parse_address
from nerf.host.lifeline import Lifeline, Relay

_log = logging.getLogger('nerf')
Tree = TypeVar('Tree')
SIGNALS = [signal.SIGINT, signal.SIGTERM, *([signal.SIGHUP] if hasattr(signal, 'SIGHUP') else [])]
CLUSTER_SECONDS = 20.0  # to connect processes that JAX has joined already
GRACE = 10.0  # seconds in which the lifeline learns why a collective computation failed: another process is gone


@contextlib.contextmanager
def joined(
    is_cluster: bool, coordinator: str | None, num_processes: int | None, process_id: int | None, wait: float
) -> Iterator[None]:
    """Join the other processes of a run for the block: those of a cluster that JAX knows, or those at the coordinator.

    If one of several processes ends early, by an error or because it is killed, the others end too, with one sentence
    and status 1. In a cluster, where JAX is led to process 0 by itself, its own dump may come first if that one is killed.

    Args:
        is_cluster: whether JAX finds the processes by itself.
        coordinator: `host:port` of process 0, otherwise.
        num_processes, process_id: how many there are, and which this is.
        wait: seconds to wait for the others.

    Raises:
        UserError: if only some of coordinator, num_processes and process_id are given, or if joining fails.
    """
    given = [value is not None for value in (coordinator, num_processes, process_id)]
    if any(given) and not all(given):
        raise UserError('--coordinator, --num_processes and --process_id belong together: give all three or none')
    if not is_cluster and not any(given):
        check_platform()
        yield
        return
    lifeline = Lifeline(meet(coordinator, num_processes, process_id, wait) if any(given) else {})
    try:
        if any(given):
            _join_at(coordinator, num_processes, process_id)
        else:
            _join_cluster(wait)
            lifeline = Lifeline(_meet_in_cluster())
        yield
        lifeline.finish()
    except UserError as error:
        lifeline.stop(f'process {_number(process_id)} stopped: {error}', str(error))
    except BaseException as error:
        if not isinstance(error, KeyboardInterrupt):
            time.sleep(GRACE)
            traceback.print_exc()
        lifeline.stop(f'process {_number(process_id)} stopped: {type(error).__name__}')


def _number(process_id: int | None) -> int:
    return jax.process_index() if process_id is None else process_id


def _join_at(coordinator: str, num_processes: int, process_id: int) -> None:
    address = coordinator if process_id == 0 else Relay(*parse_address(coordinator)).address
    try:
        jax.distributed.initialize(address, num_processes, process_id)
    except (ValueError, RuntimeError) as error:
        reason = ' '.join(str(error).split())
        raise UserError(f'--coordinator={coordinator}: JAX could not join the processes there ({reason})') from error


def _join_cluster(wait: float) -> None:
    _log.info('waiting for the other processes of the cluster, for up to %g s', wait)
    try:
        jax.distributed.initialize(initialization_timeout=int(wait))
    except (ValueError, RuntimeError) as error:
        reason = ' '.join(str(error).split())
        raise UserError(
            f'--distributed: JAX joined no cluster ({reason}); '
            'where it knows none, give --coordinator, --num_processes and --process_id instead'
        ) from error


def check_platform() -> None:
    """Refuse a platform that JAX does not have here, before anything else needs it.

    Raises:
        UserError: naming JAX_PLATFORMS and what it says.
    """
    try:
        jax.devices()
    except (RuntimeError, AssertionError) as error:
        reason = (str(error).strip().splitlines() or ['no such device'])[0]
        raise UserError(
            f'JAX_PLATFORMS={jax.config.jax_platforms or ""}: JAX cannot use this platform here ({reason}); '
            'leave it out, or install the jaxlib that has it'
        ) from error


def _meet_in_cluster() -> dict[int, socket.socket]:
    """Connect the processes of a cluster, which JAX has joined, for their lifeline; none if one cannot be reached so."""
    with socket.create_server(('', 0)) as free:
        port = free.getsockname()[1]
    address = of_first(f'{socket.gethostname()}:{port}')
    peers, reason = {}, ''
    try:
        peers = meet(address, jax.process_count(), jax.process_index(), CLUSTER_SECONDS)
    except UserError as error:
        reason = str(error)
    if any_of(bool(reason)):
        _log.warning('if one process ends early, the others learn of it only minutes later, from JAX (%s)', reason or address)
        return {}
    return peers


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


def gather_texts(text: str) -> list[str]:
    """Return the texts of all processes, in their order."""
    if jax.process_count() == 1:
        return [text]
    content = np.frombuffer(text.encode(), np.uint8)
    sizes = multihost_utils.process_allgather(np.array(content.size, np.int32))
    padded = np.zeros(max(sizes.max(), 1), np.uint8)
    padded[: content.size] = content
    rows = multihost_utils.process_allgather(padded)
    return [row[:size].tobytes().decode() for row, size in zip(rows, sizes, strict=True)]


def of_first(value: Any) -> Any:
    """Return what process 0 has for this value, which JSON can say."""
    return json.loads(gather_texts(json.dumps(value if is_first() else None))[0])


def read_by_first(read: Callable[[], Tree | None], template: Tree) -> Tree | None:
    """Return, in all processes, the tree of arrays that process 0 reads, bit for bit; None if it finds none.

    Only process 0 needs the files.

    Args:
        read: called in process 0 alone.
        template: a tree of the same structure, shapes and dtypes.
    """
    if jax.process_count() == 1:
        return read()
    tree = read() if is_first() else None
    if not any_of(tree is not None):
        return None
    leaves, structure = jax.tree.flatten(template)
    if tree is None:
        tree = jax.tree.unflatten(structure, [np.zeros(leaf.shape, leaf.dtype) for leaf in leaves])
    # Sent as bytes: a sum over processes would turn -0.0 into 0.0, and JAX would cut 64 bits to 32.
    content = b''.join(np.asarray(leaf).tobytes() for leaf in jax.tree.leaves(tree))
    content = multihost_utils.broadcast_one_to_all(np.frombuffer(content, np.uint8)).tobytes()
    received, start = [], 0
    for leaf in leaves:
        size = int(np.prod(leaf.shape, dtype=np.int64)) * np.dtype(leaf.dtype).itemsize
        received.append(np.frombuffer(content[start : start + size], leaf.dtype).reshape(leaf.shape).copy())
        start += size
    return jax.tree.unflatten(structure, received)


def check_same(describe: Callable[[], Mapping[str, Any]]) -> None:
    """Refuse to go on unless `describe` gives the same entries in all processes, which must call this together.

    Raises:
        UserError: in all processes, naming those that differ from process 0, and in what.
    """
    if jax.process_count() == 1:
        return
    own = {name: repr(value) for name, value in describe().items()}
    first = of_first(own)
    differing = [
        f'{name} is {own.get(name, "missing")} and {first.get(name, "missing")} in process 0'
        for name in sorted(own.keys() | first.keys())
        if own.get(name) != first.get(name)
    ]
    found = [f'in process {i} {text}' for i, text in enumerate(gather_texts('; '.join(differing))) if text]
    if found:
        raise UserError(f'the processes differ: {", ".join(found)}; start all with the same settings and data')


class Interrupted(Exception):
    """Stop requested by the user (SIGINT, SIGTERM, or SIGHUP of a terminal that is closed); finished work is saved."""


class Interruption:
    """Record of such a signal, so that work can end at a safe point."""

    def __init__(self) -> None:
        """Start without a request to stop."""
        self._has_come = False

    def _remember(self, signum: int, frame: FrameType | None) -> None:
        self._has_come = True

    @contextlib.contextmanager
    def catch_signals(self) -> Iterator['Interruption']:
        """Handle the signals inside the block, and restore the previous handlers after it."""
        before = {number: signal.signal(number, self._remember) for number in SIGNALS}
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
