"""The task `view`: an interactive viewer of the scene in a browser."""

import contextlib
import logging
from typing import Any

from flax import linen as nn

from nerf.paths.cameras import training
from nerf.tasks.job import Job, TaskOptions
from nerf.viewer.pictures import Pictures
from nerf.viewer.server import check, serving
from nerf.viewer.session import Sessions
from nerf.viewer.stage import make_stage
from nerf.viewer.views import subject_of
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
        _log.info('viewer: press Ctrl-C to stop')
        sessions.change_all()
        serve(sessions, pictures, job.variables, job.interruption)
