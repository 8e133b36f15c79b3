"""The task `geometry`: errors of depth and normals on the built-in scene, whose exact geometry is known."""

import json
import logging
from typing import Any

import numpy as np

from nerf.data import procedural
from nerf.errors import UserError
from nerf.host import processes
from nerf.host.console import Progress
from nerf.host.files import write_atomically
from nerf.ray.cameras import Camera
from nerf.render.image import Picture
from nerf.tasks.job import Job

_log = logging.getLogger('nerf')
INSIDE = 2  # px: pixels that are at most this far from a silhouette do not count


def measure_geometry(job: Job) -> None:
    """Measure the errors of depth and normals in the test views: writes `geometry.json` and logs the medians.

    Raises:
        UserError: another scene than the built-in one.
    """
    if job.trained.run.data_dir is not None:
        raise UserError('task geometry: only the built-in scene is known exactly; train one without --data_dir')
    test = job.scene.indices('test')
    progress = Progress('test views', len(test), is_quiet=not processes.is_first(), first='compiling')
    errors = []
    for i in test:
        camera = job.scene.camera(int(i))
        errors.append(geometry_errors(camera, job.render(camera, with_normals=True)))
        progress.advance()
    progress.close()
    report = {name: float(np.median(np.concatenate([each[name] for each in errors]))) for name in errors[0]}
    report['step'] = job.trained.step
    folder = job.result_folder('geometry', {'step': job.trained.step, 'skip_empty': job.skip_empty})
    if processes.is_first():
        write_atomically(folder / 'geometry.json', json.dumps(report, indent=2).encode())
    _log.info(
        'medians over surfaces more than %d px from a silhouette: depth off by %.2f %%, normals by %.1f degrees',
        INSIDE,
        100 * report['depth'],
        report['normal'],
    )


def geometry_errors(camera: Camera, picture: Picture) -> dict[str, np.ndarray]:
    """Compute the relative error of the median distance and the angle between normals, degrees, of the pixels that count, [k].

    Those that show the background or lie near a silhouette do not count.
    """
    truth = procedural.ground_truth(camera)
    counts = ~widened(silhouette(truth), INSIDE) & (truth.alpha > 0)
    depth = np.abs(picture['distance_median'] - truth.distance) / truth.distance
    cosine = np.clip(np.sum(picture['normal'] * truth.normal, axis=-1), -1, 1)
    return {'depth': depth[counts], 'normal': np.degrees(np.arccos(cosine))[counts]}


def silhouette(truth: Any) -> np.ndarray:
    """Find the pixels [h, w] at depth discontinuities: next to the background, or to a much nearer or farther surface."""
    found = np.zeros(truth.alpha.shape, bool)
    for axis in (0, 1):
        jump = np.abs(np.diff(truth.distance, axis=axis)) > 0.05 * truth.distance.mean()
        for side in ((0, 1), (1, 0)):
            found |= np.pad(jump, [side if each == axis else (0, 0) for each in (0, 1)])
    return found


def widened(mask: np.ndarray, reach: int) -> np.ndarray:
    """Dilate a mask by `reach` px along columns and rows, bool [h, w] -> [h, w]."""
    padded = np.pad(mask, reach)
    windows = np.lib.stride_tricks.sliding_window_view(padded, (2 * reach + 1, 2 * reach + 1))
    return windows.any(axis=(2, 3))
