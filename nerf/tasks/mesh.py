"""The task `mesh`: the surface of a trained scene as a triangle mesh, in files for other programs."""

import dataclasses
import logging
from pathlib import Path
from typing import Any

from flax import linen as nn

from nerf.export.files import check_mesh_path, write_mesh
from nerf.export.mesh import check, extract_mesh
from nerf.host import processes
from nerf.tasks.job import Job, TaskOptions

_log = logging.getLogger('nerf')


def check_mesh(config: Any, model: nn.Module, options: TaskOptions) -> None:
    """Refuse an invalid option, an unknown file format, or one whose package is missing.

    Raises:
        UserError: naming it.
    """
    check(options.mesh)
    for ending in options.mesh_endings:
        check_mesh_path(Path(f'mesh.{ending}'))


def export_mesh(job: Job) -> None:
    """Write the scene's surface to `mesh.ply`, `.obj` or `.glb`, in the coordinates that were asked for.

    Raises:
        UserError: no surface found, or a file cannot be written.
    """
    options = job.options.mesh
    settings = {'step': job.trained.step, 'skip_empty': job.skip_empty, 'coordinates': job.options.coordinates}
    folder = job.result_folder('mesh', {**settings, **dataclasses.asdict(options)})
    _log.info('mesh: computing the density of the scene')
    mesh = extract_mesh(job.trained, job.variables, options, job.interruption.check, job.occupancy)
    _log.info('mesh of %d triangles, %d vertices', len(mesh.faces), len(mesh.vertices))
    if processes.is_first():
        mesh = mesh.moved(job.written_frame(job.trained.scene))
        for ending in job.options.mesh_endings:
            path = folder / f'mesh.{ending}'
            write_mesh(path, mesh)
            _log.info('mesh: %s', path)
