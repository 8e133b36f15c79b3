"""What is made of a trained scene: `render.py --task=...`, and the end of every training run.

`TASKS` maps a task's name to a function of a `Job`. Add one line to add a task.
"""

import dataclasses
import hashlib
import io
import json
import logging
import shutil
import time
import zipfile
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import imageio.v3 as imageio
import jax
import numpy as np
import pandas as pd

from nerf import evaluation, lifting, paths, processes, visualise
from nerf.baking import bake
from nerf.console import Progress
from nerf.data.scene import Scene
from nerf.errors import unknown
from nerf.model_dir import Trained, write_atomically
from nerf.ray.cameras import Camera
from nerf.ray.occupancy import Occupancy
from nerf.rendering import Picture, Renderer, to_uint8
from nerf.video import write_video

_log = logging.getLogger('nerf')


@dataclasses.dataclass(frozen=True)
class Job:
    """What a task works with.

    Attributes:
        trained: model, parameters, config and cameras.
        params: of it, replicated.
        renderer: compiled once for all tasks.
        scene: whose test views are rendered; without pixels where the images are gone.
        folder: `<model_dir>/render`.
        skip_empty: whether the renderer skips what is empty.
        interruption: heard between blocks of rays.
    """

    trained: Trained
    params: Any
    renderer: Renderer
    scene: Scene
    folder: Path
    skip_empty: bool
    interruption: processes.Interruption

    @property
    def background(self) -> str:
        """The colour behind the scene."""
        return self.trained.config.data.background

    def render(self, camera: Camera) -> Picture:
        """One view; raises `processes.Interrupted` soon after the user asked to stop."""
        return self.renderer.image(self.params, camera, self.interruption.check)


def run_tasks(
    names: Sequence[str],
    trained: Trained,
    scene: Scene,
    model_dir: str,
    interruption: processes.Interruption,
    chunk: int | None = None,
    skip_empty: bool | None = None,
) -> None:
    """Do the named tasks one after the other; `chunk` and `skip_empty` None: as the config says.

    Raises:
        UserError: an unknown task, before any is begun.
        processes.Interrupted: the user asked to stop; finished frames are kept.
    """
    for name in names:
        if name not in TASKS:
            raise unknown('task', name, TASKS)
    config, folder = trained.config, Path(model_dir) / 'render'
    params = lifting.replicate(trained.params)
    if skip_empty is None:
        skip_empty = config.get('skip_empty', True)  # folders of runs from before it was an entry have none
    occupancy = kept_occupancy(trained, params, folder, interruption) if skip_empty else None
    renderer = Renderer(trained.model, config.data.background, chunk or config.render_chunk, occupancy)
    job = Job(trained, params, renderer, scene, folder, skip_empty, interruption)
    for name in names:
        TASKS[name](job)
    if renderer.evaluations:
        done, of_all = renderer.evaluations, renderer.evaluations_of_all
        _log.info('field evaluations: %.3g M of %.3g M (%.1f times fewer)', done / 1e6, of_all / 1e6, of_all / done)


def kept_occupancy(trained: Trained, params: Any, folder: Path, interruption: processes.Interruption) -> Occupancy:
    """Where this checkpoint (its parameters replicated as `params`) has something: from `folder`, else baked and kept there."""
    cameras = jax.tree.map(lambda field: field[trained.scene.indices('train')], trained.scene.cameras)
    path, baked_from = folder / f'occupancy_{trained.step}.npz', digest(trained.params, cameras)
    occupancy = read_occupancy(path, baked_from)
    # All processes bake, or none: they do it together.
    if not processes.any_of(occupancy is None):
        return occupancy
    began = time.monotonic()
    occupancy = bake(trained.model, params, cameras, interruption.check)
    share = 100 * np.mean(occupancy.cells > 0)
    _log.info('baked what is empty in %.1f s: %.1f %% of the box around the scene is not', time.monotonic() - began, share)
    if processes.is_first():
        content = io.BytesIO()
        np.savez_compressed(content, baked_from=baked_from, **vars(occupancy))
        folder.mkdir(parents=True, exist_ok=True)
        write_atomically(path, content.getvalue())
    return occupancy


def read_occupancy(path: Path, baked_from: str) -> Occupancy | None:
    """The grid kept in a file; None if there is none, or a damaged one, or one of other parameters or cameras."""
    try:
        with np.load(path, allow_pickle=False) as stored:
            if str(stored['baked_from']) != baked_from:
                return None
            return Occupancy(**{field.name: stored[field.name] for field in dataclasses.fields(Occupancy)})
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error):
        return None


def fresh_folder(path: Path, settings: dict[str, Any]) -> Path:
    """The folder of a task's files; emptied first unless they were made with the same settings."""
    if processes.is_first():
        record = path / 'settings.json'
        text = json.dumps(settings, indent=2, sort_keys=True)
        if path.exists() and not (record.exists() and record.read_text() == text):
            shutil.rmtree(path)
        path.mkdir(parents=True, exist_ok=True)
        write_atomically(record, text.encode())
    processes.wait_for_all(f'folder {path.name}')
    return path


def digest(*trees: Any) -> str:
    """A short name of the values in these arrays."""
    state = hashlib.sha256()
    for leaf in jax.tree.leaves(trees):
        state.update(np.ascontiguousarray(leaf).tobytes())
    return state.hexdigest()[:16]


def write_png(path: Path, picture: np.ndarray) -> None:
    """Write a uint8 picture so that it is never seen half written."""
    write_atomically(path, imageio.imwrite('<bytes>', picture, extension='.png'))


def render_test(job: Job) -> None:
    """Render the test views to PNGs, and measure them where their images are there."""
    scene, step = job.scene, job.trained.step
    test = [int(i) for i in scene.indices('test')]
    has_images = len(scene.pixels) > 0
    truths = [scene.image(i) for i in test] if has_images else []
    cameras = [scene.camera(i) for i in test]
    settings = {'step': step, 'background': job.background, 'data': digest(cameras, truths), 'skip_empty': job.skip_empty}
    folder = fresh_folder(job.folder / 'test', settings)
    left = [i for i in test if not (folder / f'{scene.stem(i)}_rgb.png').exists()]
    if len(left) < len(test):
        _log.info('%d of %d test views of step %d are there already', len(test) - len(left), len(test), step)
    processes.wait_for_all('test views left')
    progress = Progress('test views', len(test), len(test) - len(left), is_quiet=not processes.is_first())
    for i in left:
        files = visualise.pictures(job.render(scene.camera(i)))
        if processes.is_first():
            # The colour last: where it lies, the view is finished.
            for ending in ('depth', 'acc', 'rgb'):
                write_png(folder / f'{scene.stem(i)}_{ending}.png', files[ending])
        progress.advance()
    progress.close()
    if not has_images:
        _log.info('the test images are not at %s: views are rendered, metrics are left out', job.trained.run.data_dir)
    elif processes.is_first() and test:
        write_metrics(job, folder, test)


def write_metrics(job: Job, folder: Path, test: Sequence[int]) -> None:
    """Compare the rendered test views with their images: metrics.csv and metrics.json, and a line for the terminal."""
    scene = job.scene
    images, blank = [], []
    for i in test:
        truth = evaluation.over_background(scene.image(i), job.background)
        prediction = imageio.imread(folder / f'{scene.stem(i)}_rgb.png')
        images.append({'image': scene.stem(i), **evaluation.compare(prediction, truth)})
        nothing = evaluation.over_background(np.zeros_like(scene.image(i)), job.background)
        blank.append(evaluation.psnr(nothing, truth))
    mean = evaluation.mean_metrics(images)
    report = {
        'mean': mean,
        'images': images,
        'step': job.trained.step,
        'protocol': evaluation.PROTOCOL,
        'background_psnr': float(np.mean(blank)),
        'skip_empty': job.skip_empty,
        'scene': job.trained.config.scene,
        'model': job.trained.config.model_name,
    }
    write_atomically(folder / 'metrics.csv', pd.DataFrame(images).to_csv(index=False).encode())
    write_atomically(folder / 'metrics.json', json.dumps(report, indent=2).encode())
    _log.info(
        'step %d, %d test views: PSNR %.2f dB, SSIM %.4f (the background alone: %.2f dB)',
        job.trained.step,
        len(test),
        mean['psnr'],
        mean['ssim'],
        np.mean(blank),
    )


def render_video(job: Job) -> None:
    """Render a turntable as mp4 of colour and of depth; frames already there are kept."""
    config = job.trained.config.video
    train = jax.tree.map(lambda field: field[job.scene.indices('train')], job.scene.cameras)
    cameras = paths.spherical(train, config.num_frames)
    settings = {
        'step': job.trained.step,
        'background': job.background,
        'path': digest(cameras),
        'fps': config.fps,
        'skip_empty': job.skip_empty,
    }
    folder = fresh_folder(job.folder / 'video', settings)
    files = [folder / 'frames' / f'{i:04d}.npz' for i in range(config.num_frames)]
    if processes.is_first():
        files[0].parent.mkdir(exist_ok=True)
    left = [i for i, file in enumerate(files) if not file.exists()]
    if not left and (folder / 'depth.mp4').exists():
        _log.info('the video of step %d is there already', job.trained.step)
        return
    processes.wait_for_all('frames left')
    progress = Progress('video frames', len(files), len(files) - len(left), is_quiet=not processes.is_first())
    for i in left:
        frame = job.render(jax.tree.map(lambda field, i=i: field[i], cameras))
        if processes.is_first():
            write_frame(files[i], frame)
        progress.advance()
    progress.close()
    if processes.is_first():
        write_videos(folder, files, config.fps)
        _log.info('video: %s', folder / 'rgb.mp4')


def write_frame(path: Path, frame: Picture) -> None:
    """Keep what the videos need of one frame."""
    with path.with_suffix('.partial').open('wb') as file:
        np.savez(file, rgb=to_uint8(frame['rgb']), depth=frame['depth'].astype(np.float32), acc=to_uint8(frame['acc']))
    path.with_suffix('.partial').replace(path)


def write_videos(folder: Path, files: Sequence[Path], fps: int) -> None:
    """rgb.mp4 and depth.mp4 from all frames; one range of depths for the whole video, so that it does not flicker."""
    frames = [dict(np.load(file)) for file in files]
    depth, acc = np.stack([frame['depth'] for frame in frames]), np.stack([frame['acc'] for frame in frames]) / 255
    limits = visualise.depth_range(depth, acc)
    write_video(folder / 'rgb.mp4', (frame['rgb'] for frame in frames), fps)
    write_video(folder / 'depth.mp4', (visualise.depth_picture(d, a, limits) for d, a in zip(depth, acc, strict=True)), fps)


TASKS: dict[str, Callable[[Job], None]] = {'test': render_test, 'video': render_video}
