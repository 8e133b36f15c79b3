"""The task `mesh`: the surface of a trained scene as a triangle mesh, in files for other programs."""

import logging

from nerf.export.files import check_mesh_path, write_mesh
from nerf.export.mesh import extract_mesh
from nerf.host import processes
from nerf.tasks.job import Job

_log = logging.getLogger('nerf')


def export_mesh(job: Job) -> None:
    """Write the scene's surface to `mesh.ply`, `.obj` or `.glb`, as asked.

    Raises:
        UserError: an invalid option, a package that is missing, or no surface found.
    """
    paths = [job.folder / f'mesh.{ending}' for ending in job.options.mesh_endings]
    for path in paths:
        check_mesh_path(path)
    _log.info('mesh: computing the density of the scene')
    mesh = extract_mesh(job.trained, job.variables, job.options.mesh, job.interruption.check, job.occupancy)
    _log.info('mesh of %d triangles, %d vertices', len(mesh.faces), len(mesh.vertices))
    if processes.is_first():
        job.folder.mkdir(parents=True, exist_ok=True)
        for path in paths:
            write_mesh(path, mesh)
            _log.info('mesh: %s', path)
