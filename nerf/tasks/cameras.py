"""The task `cameras`: the scene's cameras in files for other programs."""

import logging

from nerf.export.cameras import colmap_text, transforms_json
from nerf.export.files import write
from nerf.host import processes
from nerf.tasks.job import Job

_log = logging.getLogger('nerf')


def export_cameras(job: Job) -> None:
    """Write all cameras of the scene to `transforms.json`, and with its points to COLMAP's text files in `sparse/0`.

    Raises:
        UserError: a file cannot be written.
    """
    scene, frame = job.scene, job.written_frame(job.scene)
    folder = job.result_folder('cameras', {'step': job.trained.step, 'coordinates': job.options.coordinates})
    if not processes.is_first():
        return
    write(folder / 'transforms.json', transforms_json(scene, frame).encode())
    for name, content in colmap_text(scene, frame).items():
        write(folder / 'sparse' / '0' / name, content.encode())
    _log.info('%d cameras: %s, and as COLMAP has them in %s', len(scene.names), folder / 'transforms.json', folder / 'sparse')
