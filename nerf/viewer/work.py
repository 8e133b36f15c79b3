"""Rendering loop of the viewer: takes the browsers' requests one by one and shows pictures on their pages."""

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from nerf.host import processes
from nerf.viewer.failures import log_failure
from nerf.viewer.orders import Order, fulfil
from nerf.viewer.pictures import Pictures, to_show
from nerf.viewer.session import RenderRequest, Sessions, ViewChanged, unless_view_changed
from nerf.viewer.views import why_not

PATIENCE = 0.2  # s between two checks for an interruption


def serve(
    sessions: Sessions,
    pictures: Pictures,
    variables: Any,
    interruption: processes.Interruption,
    render: Callable[[Order], Sequence[Path]],
) -> None:
    """Render the browsers' requests, and the videos that they order, until the user asks to stop.

    `variables` are replicated, `pictures` prepared; `render` makes the files of one order.
    """
    sessions.orders.is_open = True
    while not interruption.is_requested():
        order = sessions.orders.take()
        try:
            if order is None:
                work(sessions, pictures, variables, interruption.check, PATIENCE)
            else:
                fulfil(order, render)
        except processes.Interrupted:
            return


def work(
    sessions: Sessions,
    pictures: Pictures,
    variables: Any,
    check: Callable[[], None] = lambda: None,
    timeout: float = 0.0,
    only_answers: bool = False,
) -> bool:
    """Process the next request; return whether there was one within `timeout` seconds.

    `check` is called between blocks of rays. A request that fails is logged, and ends neither the viewer nor a training run.
    """
    errand = sessions.next_request(timeout, only_answers)
    if errand is None:
        return False
    try:
        answer(sessions, pictures, variables, errand, check)
    except ViewChanged:
        pass
    except processes.Interrupted:
        raise
    except Exception as error:
        sessions.done(errand, None)  # without a refinement, which would fail again
        log_failure('a picture', error)
    return True


def answer(sessions: Sessions, pictures: Pictures, variables: Any, errand: RenderRequest, check: Callable[[], None]) -> None:
    """Render one picture and show it.

    Raises:
        ViewChanged: it was a refinement, and a view or its settings changed.
    """
    view, settings, page = errand.view, errand.settings, errand.session.page
    if not pictures.is_ready(settings):
        page.say('compiling, once ...')
        pictures.prepare(variables, settings)
    size = errand.size or pictures.answer_size(settings)
    camera = pictures.camera(view, size)
    reason = why_not(camera)
    if reason is not None:
        page.show(np.full((1, 1, 3), 128, np.uint8), None)
        page.say(reason)
        sessions.done(errand, None)
        return
    began = time.monotonic()
    picture = pictures.render(variables, view, settings, size, unless_view_changed(sessions, errand, check))
    page.show(to_show(picture, camera, settings.shown), np.where(picture['acc'] > 0.5, picture['depth'], np.inf))
    page.say(f'{int(camera.width)} x {int(camera.height)} px in {time.monotonic() - began:.2f} s')
    sessions.done(errand, size)
