"""Web server of the viewer: its address, its start and stop, and the browsers that connect."""

import contextlib
import importlib
import io
import logging
import socket
import warnings
from collections.abc import Iterator
from types import ModuleType
from typing import Any, NamedTuple

from nerf.errors import UserError, not_installed
from nerf.viewer.failures import logged_failures
from nerf.viewer.guard import Guard, report_in_one_line
from nerf.viewer.panel import Panel
from nerf.viewer.session import Sessions
from nerf.viewer.stage import Stage

_log = logging.getLogger('nerf')


class Address(NamedTuple):
    """Address of the page: for this machine only unless `host` is another of its addresses; port 0: any free port."""

    host: str = '127.0.0.1'
    port: int = 8080


def load_viser() -> ModuleType:
    """Import viser, which serves the page.

    Raises:
        UserError: it is not installed.
    """
    try:
        return importlib.import_module('viser')
    except ImportError as error:
        raise not_installed(str(error.name), 'which the viewer needs', 'viewer') from error


def check(address: Address) -> None:
    """Refuse an address that cannot be served: viser would take another port, or wait for ever.

    Raises:
        UserError: viser is not installed, or nothing can be served there.
    """
    load_viser()
    host, port = address
    try:
        family, kind, protocol, _, place = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)[0]
    except (OSError, UnicodeError) as error:
        raise UserError(f'--host={host}: is no address of this machine ({error}); leave it out to serve to it alone') from error
    with socket.socket(family, kind, protocol) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(place)
            probe.listen()
        except OSError as error:
            raise UserError(
                f'--port={port}: nothing can be served there on {host} ({error.strerror}); choose another --port'
            ) from error


@contextlib.contextmanager
def serving(stage: Stage, sessions: Sessions, address: Address) -> Iterator[Any]:
    """Serve the page inside the block, to itself alone (see `nerf.viewer.guard`); yields viser's server.

    Raises:
        UserError: viser is not installed, nothing can be served there, or this version of viser cannot be guarded.
    """
    check(address)
    guard = Guard(address.host)
    with _silence(), guard.installed():
        server = _server_class(load_viser())(host=address.host, port=address.port, label=stage.title, verbose=False)
    panels: dict[int, Panel] = {}

    def came(client: Any) -> None:
        with logged_failures('the page of a browser'):
            panels[client.client_id] = Panel(client, stage, sessions)
            if client.client_id not in server.get_clients():
                went(client)  # disconnected in the meantime

    def went(client: Any) -> None:
        if client.client_id in panels:
            panels.pop(client.client_id).close()

    try:
        # A page that closes while its picture is sent is nothing to warn of.
        warnings.filterwarnings('ignore', message='Queued a .* on a closed connection')
        guard.check_active()
        report_in_one_line(server.get_event_loop())
        _prepare(server, stage)
        server.on_client_disconnect(went)
        server.on_client_connect(came)
        _announce(address.host, server.get_port())
        yield server
    finally:
        with _silence():
            server.stop()


def _silence() -> contextlib.redirect_stdout:
    """Suppress viser's output: a box with two addresses, and a message that it stopped."""
    return contextlib.redirect_stdout(io.StringIO())


def _announce(host: str, port: int) -> None:
    is_local = host in ('127.0.0.1', 'localhost', '::1')
    _log.info('viewer: open http://%s:%d in a browser', 'localhost' if is_local or host in ('0.0.0.0', '::') else host, port)
    if not is_local:
        _log.warning(
            '--host=%s: whoever reaches this machine can look at the scene, and save paths and videos in its folder', host
        )


def _prepare(server: Any, stage: Stage) -> None:
    start = stage.beginning
    server.gui.configure_theme(show_logo=False, show_share_button=False)
    server.scene.set_up_direction(start.up)
    server.initial_camera.position = start.view.pose[:, 3]
    server.initial_camera.look_at = start.target
    server.initial_camera.fov = start.view.fov


def _server_class(viser: ModuleType) -> type:
    class Server(viser.ViserServer):
        """Server that never requests a public URL from another machine, which any page may ask of viser's own."""

        def request_share_url(self, verbose: bool = True) -> None:
            """Refuse to share the page."""

    return Server
