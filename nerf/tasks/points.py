"""The task `points`: a point cloud of the surfaces in the training views, or along a path, and depth maps of these views."""

import logging

from nerf.export.files import write_depth, write_points
from nerf.export.points import surface_points
from nerf.host import processes
from nerf.host.console import Progress
from nerf.paths import make_path
from nerf.ray.cameras import Camera
from nerf.tasks.job import Job

_log = logging.getLogger('nerf')


def export_points(job: Job) -> None:
    """Write surface points with colours and normals to `points.ply` and, if asked, each view's depth map as PNG and npy.

    The views are those of training, or of a camera path if one was asked for.

    Raises:
        UserError: an invalid option or path, or no point found.
    """
    cameras, names = chosen_views(job)
    depths = job.folder / 'depth'
    if job.options.write_depth and processes.is_first():
        depths.mkdir(parents=True, exist_ok=True)
    progress = Progress('views', len(names), is_quiet=not processes.is_first())
    views = []
    for i, name in enumerate(names):
        camera = cameras.at(i)
        picture = job.render(camera)
        views.append((camera, picture))
        if job.options.write_depth and processes.is_first():
            write_depth(depths / name, picture['depth'])
        progress.advance()
    progress.close()
    cloud = surface_points(views, job.options.points)
    if processes.is_first():
        job.folder.mkdir(parents=True, exist_ok=True)
        write_points(job.folder / 'points.ply', cloud)
        _log.info('%d points: %s', len(cloud.points), job.folder / 'points.ply')


def chosen_views(job: Job) -> tuple[Camera, list[str]]:
    """Return the cameras to render (stacked), and the names of their images."""
    asked = job.options
    if asked.path or asked.path_options.file or asked.path_options.keyframes:
        cameras = make_path(asked.path, job.scene, job.trained.config.scene_type, asked.path_options)
        return cameras, [f'{i:04d}' for i in range(len(cameras.width))]
    train = job.scene.indices('train')
    return job.scene.cameras.at(train), [job.scene.stem(int(i)) for i in train]
