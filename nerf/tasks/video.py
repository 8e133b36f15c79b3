"""The task `video`: colour, depth, normals and more along a camera path, in one or several videos."""

import dataclasses
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from flax import linen as nn

from nerf.errors import UserError, unknown
from nerf.host import processes
from nerf.host.console import Progress
from nerf.host.files import atomic_file, make_folder
from nerf.host.untrusted import UnreadableError, read_arrays
from nerf.paths import PATHS, PathOptions, choose_path, make_path
from nerf.paths.files import read_path_file
from nerf.paths.preview import preview
from nerf.ray.cameras import Camera
from nerf.render import colours, outputs
from nerf.render.image import Picture, to_uint8
from nerf.render.video import ENDINGS, write_video
from nerf.tasks.job import Job, TaskOptions, digest, write_png

_log = logging.getLogger('nerf')
MAX_FRAME_BYTES = 2**32  # of all maps of one frame


def render_video(job: Job) -> list[Path]:
    """Render the frames of a path, keeping those that exist, and write videos of them; or only draw the path.

    Returns the videos.

    Raises:
        UserError: a path that does not suit the scene's cameras.
    """
    options, config = job.options, job.trained.config
    name = choose_path(options.path, job.scene, config.scene_type, options.path_options)
    cameras = make_path(name, job.scene, config.scene_type, path_options(job))
    settings = {'step': job.trained.step, 'background': job.background, 'path': digest(cameras), 'skip_empty': job.skip_empty}
    folder = job.result_folder('video', settings, name)
    if options.preview:
        draw_path(job, cameras, folder)
        return []
    file = options.path_options.file
    fps = options.fps or (file and read_path_file(file).fps) or config.video.fps
    shown_maps = {outputs.output_of(name).field for shown in options.show for name in shown.split('+')}
    files, videos = render_frames(job, cameras, folder, shown_maps), []
    if processes.is_first():
        for shown in options.show:
            if outputs.output_of(shown).has_alpha:
                write_pngs(folder, shown, frames_as(shown, files, cameras))
                continue
            for ending in options.endings:
                path = folder / f'{shown}.{ending}'
                write_video(path, frames_as(shown, files, cameras), fps)
                _log.info('video: %s', path)
                videos.append(path)
    return videos


def path_options(job: Job) -> PathOptions:
    """Return the path options, with the config's number of frames as default except for the paths train and file."""
    asked = job.options.path_options
    if asked.num_frames is None and not asked.file and job.options.path not in ('train', 'file'):
        return dataclasses.replace(asked, num_frames=job.trained.config.video.num_frames)
    return asked


def check_video(config: Any, model: nn.Module, options: TaskOptions) -> None:
    """Refuse an unknown path, kind of picture or file format.

    Raises:
        UserError: naming it.
    """
    check_shown(options.show, options.endings, model)
    check_path(options.path)


def check_path(name: str | None) -> None:
    """Refuse an unknown camera path; None is the scene type's.

    Raises:
        UserError: with the known paths.
    """
    if name is not None and name not in PATHS:
        raise unknown('path', name, PATHS)


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
            if outputs.output_of(name).has_alpha and name != shown:
                raise UserError(f'--show={shown}: {name} has transparency and stands alone, as in --show={name},rgb')
    for ending in endings:
        if ending not in ENDINGS:
            raise unknown('--video', ending, ENDINGS)
    if not show or not endings:
        raise UserError('--show and --video name what to make: expected at least one of each')


def draw_path(job: Job, cameras: Camera, folder: Path) -> None:
    """Draw the path among the training cameras to `path.png`, without rendering anything."""
    if processes.is_first():
        write_png(folder / 'path.png', preview(job.scene, cameras))
        _log.info('path of %d frames: %s', len(cameras.width), folder / 'path.png')


def render_frames(job: Job, cameras: Camera, folder: Path, maps: set[str]) -> list[Path]:
    """Render each camera to a file with these maps of it and more; finished files are kept, maps they lack are added."""
    if processes.is_first():
        make_folder(folder, 'frames')
    files = [folder / 'frames' / f'{i:04d}.npz' for i in range(len(cameras.width))]
    is_left = [not is_finished(file, cameras.at(i), maps) for i, file in enumerate(files)]
    left = [int(i) for i in np.flatnonzero(processes.of_first(is_left))]
    if len(left) < len(files):
        _log.info('%d of %d frames of step %d are there already', len(files) - len(left), len(files), job.trained.step)
    progress = Progress('video frames', len(files), len(files) - len(left), not processes.is_first(), first='compiling')
    for i in left:
        frame = job.render(cameras.at(i), 'normal' in maps)
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
        np.savez(temporary, **{**(_read_maps(path) or {}), **kept})


def is_finished(path: Path, camera: Camera, maps: set[str]) -> bool:
    """Return whether a stored frame is undamaged, of the camera's size, and has these maps."""
    frame = _read_maps(path)
    size = int(camera.height), int(camera.width)
    return frame is not None and maps <= frame.keys() and all(values.shape[:2] == size for values in frame.values())


def _read_maps(path: Path) -> Picture | None:
    """The maps of a stored frame as they lie there; None if it is missing or damaged."""
    if path.is_symlink():
        return None
    try:
        return read_arrays(path, MAX_FRAME_BYTES)
    except UnreadableError:
        return None


def read_frame(path: Path) -> Picture:
    """Read a stored frame, with colour and opacity in [0, 1] again.

    Raises:
        UserError: it is missing or damaged.
    """
    frame = _read_maps(path)
    if frame is None:
        raise UserError(f'{path}: found no undamaged frame, expected the one that was just written: run the command again')
    return {**frame, 'rgb': frame['rgb'] / np.float32(255), 'acc': frame['acc'] / np.float32(255)}


def write_pngs(folder: Path, shown: str, pictures: Iterator[np.ndarray]) -> None:
    """Write the pictures of all frames as PNGs with transparency, `shown/0000.png` and so on."""
    make_folder(folder, shown)
    for i, picture in enumerate(pictures):
        write_png(folder / shown / f'{i:04d}.png', picture)
    _log.info('pictures with transparency: %s', folder / shown)


def frames_as(shown: str, files: Sequence[Path], cameras: Camera) -> Iterator[np.ndarray]:
    """Yield the pictures of one video, uint8 [h, w, 3 or 4]; ranges are those of all of them, so that no colours flicker."""
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
