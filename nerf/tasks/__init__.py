"""Tasks on a trained scene: `render.py --task=...`, and the end of every training run.

`TASKS` maps a task's name to a function of a `Job`, with a check of its options. Add one line to add a task.
"""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from flax import linen as nn

from nerf import lifting
from nerf.data.scene import Scene
from nerf.errors import UserError, unknown
from nerf.host import processes
from nerf.render import outputs
from nerf.render.image import Renderer
from nerf.scene_types import scene_type_of
from nerf.tasks.cameras import export_cameras
from nerf.tasks.geometry import measure_geometry
from nerf.tasks.job import Job, Task, TaskOptions, load_or_build_occupancy
from nerf.tasks.mesh import check_mesh, export_mesh
from nerf.tasks.points import check_points, export_points
from nerf.tasks.test import render_test
from nerf.tasks.video import check_video, render_video
from nerf.tasks.view import check_view, view
from nerf.train.run_folder import Trained

_log = logging.getLogger('nerf')

TASKS: dict[str, Task] = {
    'test': Task(render_test),
    'video': Task(render_video, check_video),
    'mesh': Task(export_mesh, check_mesh),
    'points': Task(export_points, check_points),
    'cameras': Task(export_cameras),
    'geometry': Task(measure_geometry),
    'view': Task(view, check_view),
}


def check_tasks(names: Sequence[str], config: Any, model: nn.Module, options: TaskOptions) -> None:
    """Refuse tasks and options that cannot be, before anything is begun.

    Raises:
        UserError: an unknown task; empty space to be skipped in an unbounded scene; an invalid option of a task.
    """
    for name in names:
        if name not in TASKS:
            raise unknown('task', name, TASKS)
    should_skip_empty(config, options)
    for name in names:
        TASKS[name].check(config, model, options)


def run_tasks(
    names: Sequence[str],
    trained: Trained,
    scene: Scene,
    model_dir: str,
    interruption: processes.Interruption,
    options: TaskOptions = TaskOptions(),  # noqa: B008, frozen
    data_name: str = '',
) -> None:
    """Run the named tasks one after the other.

    Raises:
        UserError: what only the scene shows to be wrong with the options; the rest is for `check_tasks`.
        processes.Interrupted: the user asked to stop; finished frames are kept.
    """
    if not names:
        return
    config, folder = trained.config, Path(model_dir) / 'render'
    variables = lifting.replicate(trained.variables)
    skip_empty = should_skip_empty(config, options)
    occupancy = load_or_build_occupancy(trained, variables, folder, interruption) if skip_empty else None
    quantities = outputs.quantities(each for shown in options.show for each in shown.split('+'))
    renderer, normal_renderer = (
        Renderer(
            trained.model,
            config.data.background,
            options.chunk or config.render_chunk,
            occupancy,
            with_normal,
            quantities=quantities,
        )
        for with_normal in (False, True)
    )
    job = Job(
        trained, variables, renderer, normal_renderer, occupancy, scene, folder, data_name, skip_empty, interruption, options
    )
    for name in names:
        TASKS[name].run(job)
    done, of_all = (
        sum(getattr(each, count) for each in (renderer, normal_renderer)) for count in ('evaluations', 'evaluations_of_all')
    )
    if done:
        _log.info('field evaluations: %.3g M of %.3g M (%.1f times fewer)', done / 1e6, of_all / 1e6, of_all / done)


def should_skip_empty(config: Any, options: TaskOptions) -> bool:
    """Return whether rays skip empty space: as the option or else the config says, but never in an unbounded scene.

    Raises:
        UserError: asked for in an unbounded scene, where every ray hits something.
    """
    if scene_type_of(config.scene_type).skips_empty:
        return config.skip_empty if options.skip_empty is None else options.skip_empty
    if options.skip_empty:
        raise UserError(f'--skip_empty: in a scene of type {config.scene_type} every ray hits something; leave it out')
    return False
