"""Guard of the viewer's web server: the pages that it answers, and the messages of them that viser receives.

viser answers every page that is open in the user's browser, and its handlers trust the messages. It has no hook for either, but
starts its server by `websockets.asyncio.server.serve`, whose documented arguments have: `process_request`, which runs before
the websocket opens and for plain HTTP, and `create_connection`.
"""

import asyncio
import contextlib
import http
import importlib
import ipaddress
import logging
import re
import socket
import threading
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from nerf.errors import UserError
from nerf.viewer.failures import log_failure, summary_of
from nerf.viewer.views import view_from

_log = logging.getLogger('nerf')

LOOPBACK = frozenset({'localhost', '127.0.0.1', '::1'})
EVERY_ADDRESS = ('0.0.0.0', '::')
AUTHORITY = re.compile(r'(?:\[([0-9a-f:.]+)\]|([a-z0-9._-]+))(?::([0-9]{1,5}))?')
HTTP_PORT = 80  # of a Host without a port
LARGEST = 2**16  # bytes of a message: nothing is uploaded
PAUSE = 1 / 200  # s after each message, so that a flood of them waits in the browser and not in this process
BIGGEST = 1e9  # absolute value of a number in a message
LONGEST = 1000  # characters of a text in a message
WIDEST_WINDOW = 2**15  # px
_starting = threading.Lock()


def names_of(host: str) -> frozenset[str]:
    """Return the names and addresses that a page served at `host` may have in its URL; for 0.0.0.0 and ::, this machine's."""
    names = {host.lower(), *_addresses(host)}
    if host in EVERY_ADDRESS:
        mine = socket.gethostname().lower()
        names |= {mine, f'{mine}.local', socket.getfqdn().lower(), *_addresses(mine)}
    is_local = host in EVERY_ADDRESS or any(_is_loopback(name) for name in names)
    return frozenset(names | LOOPBACK if is_local else names)


def _addresses(host: str) -> set[str]:
    try:
        return {str(place[0]) for *_, place in socket.getaddrinfo(host, None, type=socket.SOCK_STREAM)}
    except (OSError, UnicodeError):
        return set()


def _is_loopback(name: str) -> bool:
    try:
        return ipaddress.ip_address(name).is_loopback
    except ValueError:
        return name == 'localhost'


def is_own(hosts: Sequence[str], origins: Sequence[str], names: frozenset[str], port: int) -> bool:
    """Return whether a request's Host headers name this server, and its Origin headers a page of this server or none.

    A foreign page has another Origin; a name that its owner has pointed to this machine (DNS rebinding) has another Host.
    """
    if len(hosts) != 1 or not _is_here(hosts[0], names, port):
        return False
    return all(each.lower().startswith('http://') and _is_here(each[7:], names, port) for each in origins) and len(origins) < 2


def _is_here(authority: str, names: frozenset[str], port: int) -> bool:
    found = AUTHORITY.fullmatch(authority.lower())
    if found is None or int(found[3] or HTTP_PORT) != port:
        return False
    try:
        return str(ipaddress.ip_address(found[1] or found[2])) in names
    except ValueError:
        return found[2] in names


def is_sensible(message: Any) -> bool:
    """Return whether a decoded message is one that the viewer's page sends, with numbers that a page can have."""
    kind = message.get('type') if isinstance(message, dict) else None
    return isinstance(kind, str) and kind in MESSAGES and MESSAGES[kind](message)


def _is_camera(message: Mapping[str, Any]) -> bool:
    width, height = message['image_width'], message['image_height']
    if not all(_is_number(each) and 1 <= each <= WIDEST_WINDOW for each in (width, height)):
        return False
    if not all(_is_vector(message[name], 3) for name in ('position', 'look_at', 'up_direction')):
        return False
    if not _is_vector(message['wxyz'], 4) or not all(_is_number(message[name]) for name in ('fov', 'near', 'far')):
        return False
    return view_from(message['wxyz'], message['position'], message['fov'], width / height) is not None


def _is_control(message: Mapping[str, Any]) -> bool:
    updates = message['updates']
    if not isinstance(message['uuid'], str) or not isinstance(updates, dict) or list(updates) != ['value']:
        return False
    value = updates['value']
    is_text = isinstance(value, str) and len(value) <= LONGEST and value.isprintable()
    return is_text or isinstance(value, bool) or _is_number(value) or _is_vector(value, 2)


def _is_click(message: Mapping[str, Any]) -> bool:
    is_ray = _is_vector(message['ray_origin'], 3) and _is_vector(message['ray_direction'], 3)
    return is_ray and _is_vector(message['screen_pos'], 2) and isinstance(message['name'], str)


def _is_vector(value: Any, length: int) -> bool:
    return isinstance(value, list) and len(value) == length and all(map(_is_number, value))


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and abs(value) <= BIGGEST  # False for NaN


# The kinds of messages that the page sends; viser has more, none of which it needs.
MESSAGES: dict[str, Callable[[Mapping[str, Any]], bool]] = {
    'ViewerCameraMessage': _is_camera,
    'GuiUpdateMessage': _is_control,
    'SceneNodeClickMessage': _is_click,
}


class Guard:
    """Guard of one server, which answers pages of these names alone.

    Attributes:
        is_active: whether a server was started with it.
    """

    def __init__(self, host: str) -> None:
        """Guard a server bound to `host`."""
        self._names = names_of(host)
        self.is_active = False

    @contextlib.contextmanager
    def installed(self) -> Iterator[None]:
        """Guard the server that viser starts inside the block."""
        server = importlib.import_module('websockets.asyncio.server')
        serve = server.serve

        def guarded(handler: Any, *args: Any, process_request: Any = None, **options: Any) -> Any:
            self.is_active = True
            changes = {'process_request': self._checked(process_request), 'create_connection': _connection_class(server)}
            return serve(handler, *args, **{**options, **changes, 'max_size': LARGEST, 'logger': _connections_log()})

        with _starting:
            server.serve = guarded
            try:
                yield
            finally:
                server.serve = serve

    def check_active(self) -> None:
        """Refuse a server that was started without this guard.

        Raises:
            UserError: this version of viser starts it otherwise.
        """
        if not self.is_active:
            raise UserError('the viewer cannot guard this version of viser: install another, 1.1 is known to work')

    def _checked(self, process_request: Any) -> Callable[[Any, Any], Any]:
        def process(connection: Any, request: Any) -> Any:
            """Answer 403 to requests that are not of the viewer's own page."""
            address, port = connection.local_address[:2]
            hosts, origins = request.headers.get_all('Host'), request.headers.get_all('Origin')
            names = self._names | {address} if self._names.intersection(EVERY_ADDRESS) else self._names
            if not is_own(hosts, origins, names, port):
                return connection.respond(
                    http.HTTPStatus.FORBIDDEN,
                    f'The viewer answers its own page only, under a name given by --host and with port {port}; '
                    'forward a port to one with the same number.\n',
                )
            response = None if process_request is None else process_request(connection, request)
            if response is not None:
                response.headers['X-Frame-Options'] = 'SAMEORIGIN'
            return response

        return process


def _connection_class(server: Any) -> type:
    """Return a class of connections that receives sensible messages only."""
    decode = importlib.import_module('msgspec').msgpack.decode
    viser_message = importlib.import_module('viser.infra').Message

    def is_accepted(raw: Any) -> bool:
        try:
            return is_sensible(decode(raw)) and viser_message.deserialize(raw) is not None
        except Exception:
            return False

    class Connection(server.ServerConnection):
        """Connection that drops other messages, with one log line for all of them."""

        _has_dropped = False

        async def recv(self, *args: Any, **options: Any) -> Any:
            """Receive the next sensible message."""
            while True:
                raw = await super().recv(*args, **options)
                await asyncio.sleep(PAUSE)
                if is_accepted(raw):
                    return raw
                if not self._has_dropped:
                    self._has_dropped = True
                    _log.warning('viewer: ignored a message of a browser that is none of its page; more are ignored silently')

    return Connection


class _OneLine(logging.Filter):
    """Filter that replaces tracebacks by one line, and drops connections that were closed before they asked anything."""

    def filter(self, record: logging.LogRecord) -> bool:
        """Change the record; return whether it is logged."""
        if record.getMessage() == 'opening handshake failed':
            return False
        if record.exc_info and record.exc_info[1] is not None:
            record.msg, record.args = f'viewer: {record.getMessage()} ({summary_of(record.exc_info[1])})', ()
            record.exc_info = None
        return True


def _connections_log() -> logging.Logger:
    """Return the logger of connections: warnings and errors, one line each."""
    log = logging.getLogger('nerf.viewer.connections')
    log.setLevel(logging.WARNING)
    if not any(isinstance(each, _OneLine) for each in log.filters):
        log.addFilter(_OneLine())
    return log


def report_in_one_line(loop: asyncio.AbstractEventLoop) -> None:
    """Log exceptions in handlers of the server's event loop as one line each, except those of connections that closed."""
    closed = importlib.import_module('websockets.exceptions').ConnectionClosed

    def report(_: asyncio.AbstractEventLoop, context: dict[str, Any]) -> None:
        error = context.get('exception')
        if error is not None and not isinstance(error, closed | OSError):
            log_failure('a message of a browser', error)

    loop.set_exception_handler(report)
