"""The task `video`: colour, depth, normals and more along a camera path, in one or several videos."""

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from flax import linen as nn

from nerf.errors import UserError, unknown
from nerf.host import processes
from nerf.host.console import Progress
from nerf.host.files import atomic_file
from nerf.paths import PathOptions, make_path
from nerf.paths.files import read_path_file
from nerf.paths.preview import preview
from nerf.ray.cameras import Camera
from nerf.render import colours, outputs
from nerf.render.image import Picture, to_uint8
from nerf.render.video import ENDINGS, write_video
from nerf.tasks.job import Job, digest, resumable_folder, write_png

_log = logging.getLogger('nerf')


def render_video(job: Job) -> None:
    """Render the frames of a path, keeping those that exist, and write videos of them; or only draw the path.

    Raises:
        UserError: an unknown path, kind of picture or file format.
    """
    options, config = job.options, job.trained.config
    check_shown(options.show, options.endings, job.trained.model)
    cameras = make_path(options.path, job.scene, config.scene_type, path_options(job))
    if options.preview:
        draw_path(job, cameras)
        return
    file = options.path_options.file
    fps = options.fps or (file and read_path_file(file).fps) or config.video.fps
    with_normals = any(outputs.needs_normal(name) for shown in options.show for name in shown.split('+'))
    settings = {
        'step': job.trained.step,
        'background': job.background,
        'path': digest(cameras),
        'skip_empty': job.skip_empty,
        'normals': with_normals,
        'quantities': sorted(outputs.quantities(name for shown in options.show for name in shown.split('+'))),
    }
    folder = resumable_folder(job.folder / 'video', settings)
    files = render_frames(job, cameras, folder / 'frames', with_normals)
    if processes.is_first():
        for shown in options.show:
            for ending in options.endings:
                path = folder / f'{shown}.{ending}'
                write_video(path, frames_as(shown, files, cameras), fps)
                _log.info('video: %s', path)


def path_options(job: Job) -> PathOptions:
    """Return the path options, with the config's number of frames as default except for the paths train and file."""
    asked = job.options.path_options
    if asked.num_frames is None and not asked.file and job.options.path not in ('train', 'file'):
        return dataclasses.replace(asked, num_frames=job.trained.config.video.num_frames)
    return asked


def check_shown(show: Sequence[str], endings: Sequence[str], model: nn.Module) -> None:
    """Refuse unknown kinds of pictures and video formats, or none.

    Raises:
        UserError: an unknown kind of picture or ending, with the known ones.
    """
    known = [*outputs.OUTPUTS, *outputs.extras_of(model)]
    for shown in show:
        for name in shown.split('+'):
            if name not in known:
                raise unknown('--show', name, known)
    for ending in endings:
        if ending not in ENDINGS:
            raise unknown('--video', ending, ENDINGS)
    if not show or not endings:
        raise UserError('--show and --video name what to make: expected at least one of each')


def draw_path(job: Job, cameras: Camera) -> None:
    """Draw the path among the training cameras to `path.png`, without rendering anything."""
    if processes.is_first():
        job.folder.mkdir(parents=True, exist_ok=True)
        write_png(job.folder / 'path.png', preview(job.scene, cameras))
        _log.info('path of %d frames: %s', len(cameras.width), job.folder / 'path.png')


def render_frames(job: Job, cameras: Camera, folder: Path, with_normals: bool) -> list[Path]:
    """Render each camera to a file with all that videos may show of it; existing files are kept."""
    if processes.is_first():
        folder.mkdir(exist_ok=True)
    files = [folder / f'{i:04d}.npz' for i in range(len(cameras.width))]
    left = processes.of_first([i for i, file in enumerate(files) if not file.exists()])
    if len(left) < len(files):
        _log.info('%d of %d frames of step %d are there already', len(files) - len(left), len(files), job.trained.step)
    progress = Progress('video frames', len(files), len(files) - len(left), is_quiet=not processes.is_first())
    for i in left:
        frame = job.render(cameras.at(i), with_normals)
        if processes.is_first():
            write_frame(files[i], frame)
        progress.advance()
    progress.close()
    return files


def write_frame(path: Path, frame: Picture) -> None:
    """Store what the videos need of one frame."""
    kept = {name: values.astype(np.float32) for name, values in frame.items()}
    kept |= {name: to_uint8(frame[name]) for name in ('rgb', 'acc')}
    if 'normal' in frame:
        kept['normal'] = frame['normal'].astype(np.float16)
    with atomic_file(path) as temporary:
        np.savez(temporary, **kept)


def read_frame(path: Path) -> Picture:
    """Read a stored frame, with colour and opacity in [0, 1] again."""
    with np.load(path, allow_pickle=False) as stored:
        frame = dict(stored)
    return {**frame, 'rgb': frame['rgb'] / np.float32(255), 'acc': frame['acc'] / np.float32(255)}


def frames_as(shown: str, files: Sequence[Path], cameras: Camera) -> Iterator[np.ndarray]:
    """Yield the pictures of one video, uint8 [h, w, 3]; ranges are those of the whole video, so that no colours flicker."""
    names = shown.split('+')
    limits = {name: video_range(files, outputs.output_of(name).field) for name in names if outputs.output_of(name).is_ranged}
    for i, file in enumerate(files):
        frame, camera = read_frame(file), cameras.at(i)
        yield np.concatenate([outputs.show(name, frame, camera, limits.get(name)) for name in names], axis=1)


def video_range(files: Sequence[Path], field: str) -> tuple[float, float]:
    """Compute the range of a map that colours represent: percentiles over the visible pixels of all frames together."""
    seen = []
    for file in files:
        frame = read_frame(file)
        seen.append(colours.visible_depths(frame[field], frame['acc']))
    return colours.percentile_range(np.concatenate(seen))
