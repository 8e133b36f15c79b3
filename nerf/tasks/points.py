"""The task `points`: a point cloud of the surfaces in the training views, or along a path, and depth maps of these views."""

import dataclasses
import logging
from typing import Any

from flax import linen as nn

from nerf.export.files import write_depth, write_points
from nerf.export.mesh import corners
from nerf.export.points import surface_points
from nerf.host import processes
from nerf.host.console import Progress
from nerf.host.files import make_folder
from nerf.paths import make_path
from nerf.ray.cameras import Camera
from nerf.tasks.job import Job, TaskOptions, digest
from nerf.tasks.video import check_path

_log = logging.getLogger('nerf')


def check_points(config: Any, model: nn.Module, options: TaskOptions) -> None:
    """Refuse an unknown path, and a box that is none.

    Raises:
        UserError: naming it.
    """
    check_path(options.path)
    if options.points.bounds is not None:
        corners(options.points.bounds)


def export_points(job: Job) -> None:
    """Write surface points with colours and normals to `points.ply` and, if asked, each view's depth map as PNG and npy.

    The views are those of training, or of a camera path if one was asked for. Points and depths are in the coordinates that
    were asked for.

    Raises:
        UserError: an invalid option or path, or no point found.
    """
    cameras, names = chosen_views(job)
    settings = {
        'step': job.trained.step,
        'skip_empty': job.skip_empty,
        'views': digest(cameras),
        'coordinates': job.options.coordinates,
        **dataclasses.asdict(job.options.points),
    }
    folder, frame = job.result_folder('points', settings), job.written_frame(job.trained.scene)
    depths = folder / 'depth'
    if job.options.write_depth and processes.is_first():
        make_folder(folder, 'depth')
    progress = Progress('views', len(names), is_quiet=not processes.is_first(), first='compiling')
    views = []
    for i, name in enumerate(names):
        camera = cameras.at(i)
        picture = job.render(camera)
        views.append((camera, picture))
        if job.options.write_depth and processes.is_first():
            write_depth(depths / name, frame.scale * picture['depth'])
        progress.advance()
    progress.close()
    cloud = surface_points(views, job.options.points)
    if processes.is_first():
        write_points(folder / 'points.ply', cloud.moved(frame))
        _log.info('%d points: %s', len(cloud.points), folder / 'points.ply')


def chosen_views(job: Job) -> tuple[Camera, list[str]]:
    """Return the cameras to render (stacked), and the names of their images."""
    asked = job.options
    if asked.path or asked.path_options.file or asked.path_options.keyframes:
        cameras = make_path(asked.path, job.scene, job.trained.config.scene_type, asked.path_options)
        return cameras, [f'{i:04d}' for i in range(len(cameras.width))]
    train = job.scene.indices('train')
    return job.scene.cameras.at(train), [job.scene.stem(int(i)) for i in train]
