"""How the processes of a run find each other: by the address of process 0, before JAX is told of it.

Given a wrong address or a process that does not come, JAX alone waits for minutes in silence, or crashes. So process 0
first waits at this address for the others with a plain socket, and they for it. The connections stay, as the lifeline.
"""

import errno
import json
import logging
import re
import socket
import time
from typing import Any

from nerf.errors import UserError
from nerf.host.lifeline import send

_log = logging.getLogger('nerf')
HELLO_SECONDS = 5.0  # for the first line of a peer; something else that opens the port may never say one


def parse_address(coordinator: str) -> tuple[str, int]:
    """Split `host:port`, or `[host]:port` for an IPv6 address.

    Raises:
        UserError: if it has another form, or the port is none, or the host has no address.
    """
    match = re.fullmatch(r'(?:\[([^\[\]]+)\]|([^\[\]:]+)):(\d+)', coordinator)
    port = int(match[3]) if match else 0
    if not 1 <= port <= 65535:
        raise UserError(
            f'--coordinator={coordinator}: expected host:port with a port from 1 to 65535, such as localhost:1234 or [::1]:1234'
        )
    host = match[1] or match[2]
    try:
        socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, 'strerror', None) or error
        raise UserError(f'--coordinator={coordinator}: the host {host} is not found ({reason}); give its address') from error
    return host, port


def check_numbers(num_processes: int, process_id: int) -> None:
    """Refuse numbers that cannot be.

    Raises:
        UserError: fewer than one process, or a process that is none of them.
    """
    if num_processes < 1:
        raise UserError(f'--num_processes={num_processes}: expected 1 or more')
    if not 0 <= process_id < num_processes:
        raise UserError(f'--process_id={process_id}: expected 0 to {num_processes - 1}, with --num_processes={num_processes}')


def meet(coordinator: str, num_processes: int, process_id: int, wait: float) -> dict[int, socket.socket]:
    """Wait until all processes are there; the connections of this one, by the number of the process at the other end.

    Raises:
        UserError: an address or number that cannot be, a port that is taken, processes that do not fit together, or one that
            has not come after `wait` seconds.
    """
    check_numbers(num_processes, process_id)
    host, port = parse_address(coordinator)
    until = time.monotonic() + wait
    try:
        if process_id == 0:
            return _wait_for_others(coordinator, port, num_processes, wait, until)
        return {0: _wait_for_first(coordinator, host, port, num_processes, process_id, wait, until)}
    except KeyboardInterrupt:
        raise UserError('stopped while waiting for the other processes') from None


def _listen(coordinator: str, port: int) -> socket.socket:
    """Open the port on all addresses of this machine, as JAX will; IPv4 and IPv6 where there are both."""
    both = socket.has_dualstack_ipv6()
    try:
        family = socket.AF_INET6 if both else socket.AF_INET
        return socket.create_server(('', port), family=family, backlog=1024, dualstack_ipv6=both)
    except OSError as error:
        taken = 'is taken by another program' if error.errno == errno.EADDRINUSE else f'cannot be opened ({error.strerror})'
        raise UserError(f'--coordinator={coordinator}: port {port} of this machine {taken}; choose another port') from error


def _wait_for_others(coordinator: str, port: int, num_processes: int, wait: float, until: float) -> dict[int, socket.socket]:
    peers: dict[int, socket.socket] = {}
    try:
        with _listen(coordinator, port) as listener:
            if num_processes > 1:
                _log.info('waiting for %s at %s, for up to %g s', _counted(num_processes - 1), coordinator, wait)
            while len(peers) < num_processes - 1:
                number, connection = _accept(listener, until, num_processes, peers)
                peers[number] = connection
    except TimeoutError:
        missing = sorted(set(range(1, num_processes)) - peers.keys())
        sentence = (
            f'--coordinator={coordinator}: {_counted(len(missing))} of {num_processes} did not come within {wait:g} s '
            f'(--process_id={", ".join(map(str, missing))}): start all of them, or raise --wait'
        )
    except UserError as error:
        sentence = str(error)
    else:
        for connection in peers.values():
            send(connection, met=True)
        return peers
    for connection in peers.values():
        send(connection, stopped=sentence)
    raise UserError(sentence)


def _accept(
    listener: socket.socket, until: float, num_processes: int, peers: dict[int, socket.socket]
) -> tuple[int, socket.socket]:
    """Return the next process that comes; raise TimeoutError if none does, UserError if it does not fit."""
    while True:
        listener.settimeout(max(until - time.monotonic(), 0.01))
        connection, _ = listener.accept()
        hello = _read(connection, HELLO_SECONDS)
        number, count = hello.get('process'), hello.get('of')
        if type(number) is not int or type(count) is not int:
            connection.close()  # not one of ours
            continue
        sentence = None
        if count != num_processes:
            sentence = f'--num_processes={count} in process {number} and {num_processes} in process 0: give all the same number'
        elif number in peers:
            sentence = f'--process_id={number} was given to two processes: give each its own, from 0 to {num_processes - 1}'
        if sentence:
            send(connection, stopped=sentence)
            raise UserError(sentence)
        return number, connection


def _wait_for_first(
    coordinator: str, host: str, port: int, num_processes: int, process_id: int, wait: float, until: float
) -> socket.socket:
    _log.info('process %d: waiting for process 0 at %s, for up to %g s', process_id, coordinator, wait)
    while True:
        try:
            connection = socket.create_connection((host, port), timeout=max(until - time.monotonic(), 0.01))
            break
        except OSError as error:
            if time.monotonic() + 0.2 >= until:
                raise UserError(
                    f'--coordinator={coordinator}: process 0 did not come within {wait:g} s ({error.strerror or error}): '
                    'start it there, or raise --wait'
                ) from error
            time.sleep(0.2)
    send(connection, process=process_id, of=num_processes)
    # Process 0 knows best who is missing: it says so when its own time is over.
    reply = _read(connection, max(until - time.monotonic(), 0) + wait)
    if 'stopped' in reply:
        raise UserError(reply['stopped'])
    if 'met' not in reply:
        raise UserError(
            f'--coordinator={coordinator}: found no process 0 that waits for others there, but another program or run, '
            'or one that has ended; choose another port, or start all processes again'
        )
    return connection


def _read(connection: socket.socket, seconds: float) -> dict[str, Any]:
    """Read one message, byte by byte so that what follows stays for the next reader; an empty one if none comes."""
    line, until = b'', time.monotonic() + seconds
    try:
        while not line.endswith(b'\n') and len(line) < 2**16:
            connection.settimeout(max(until - time.monotonic(), 0.01))
            byte = connection.recv(1)
            if not byte:
                return {}
            line += byte
        message = json.loads(line)
    except (OSError, ValueError):
        return {}
    return message if isinstance(message, dict) else {}


def _counted(count: int) -> str:
    return f'{count} process{"es" * (count > 1)}'
