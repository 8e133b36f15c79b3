"""The task `view`: an interactive viewer of the scene in a browser."""

import contextlib
import dataclasses
import logging
from pathlib import Path
from typing import Any

from flax import linen as nn

from nerf.host.console import shared_progress
from nerf.paths import PathOptions
from nerf.paths.cameras import training
from nerf.tasks.job import Job, TaskOptions
from nerf.tasks.video import render_video
from nerf.viewer.orders import Order
from nerf.viewer.pictures import Pictures
from nerf.viewer.server import check, serving
from nerf.viewer.session import Sessions
from nerf.viewer.stage import make_stage
from nerf.viewer.views import subject_of
from nerf.viewer.watching import Attentive
from nerf.viewer.work import serve

_log = logging.getLogger('nerf')


def check_view(config: Any, model: nn.Module, options: TaskOptions) -> None:
    """Refuse an address where nothing can be served, or a missing viser.

    Raises:
        UserError: naming it.
    """
    check(options.viewer)


def view(job: Job) -> None:
    """Serve the viewer's page until the user asks to stop; or go on serving the pages of a training.

    Raises:
        UserError: nothing can be served there.
    """
    config, options, trained = job.trained.config, job.options, job.trained
    cameras, chunk = training(job.scene), options.chunk or config.render_chunk
    subject = subject_of(cameras, config.scene_type)
    pictures = Pictures(trained.model, job.background, cameras, subject, chunk, job.occupancy)
    sessions = Sessions() if options.sessions is None else options.sessions
    sessions.report(f'trained, {trained.step} steps')
    pictures.prepare(job.variables)
    with contextlib.ExitStack() as held:
        if options.sessions is None:
            stage = make_stage(trained.model, job.scene, config, str(job.folder.parent))
            held.enter_context(serving(stage, sessions, options.viewer))
            held.enter_context(shared_progress(sessions.report_progress))
        _log.info('viewer: press Ctrl-C to stop')
        sessions.change_all()
        serve(sessions, pictures, job.variables, job.interruption, lambda order: render_order(job, order, sessions, pictures))


def render_order(job: Job, order: Order, sessions: Sessions, pictures: Pictures) -> list[Path]:
    """Render a video that a page has ordered, as the task `video` does, and answer the browsers meanwhile.

    Raises:
        UserError: the path does not suit the scene, or a file cannot be written.
        Stopped: the page does not want it any more; finished frames are kept.
    """
    asked = job.options.path_options
    options = dataclasses.replace(
        job.options,
        path='file',
        path_options=PathOptions(file=str(order.file), width=asked.width, factor=asked.factor),
        show=(order.shown,),
        endings=('mp4',),
        fps=None,
        preview=False,
    )
    interruption = Attentive(job.interruption, sessions, pictures, job.variables, order.check)
    try:
        return render_video(dataclasses.replace(job, options=options, interruption=interruption))
    finally:
        sessions.report(f'trained, {job.trained.step} steps')
