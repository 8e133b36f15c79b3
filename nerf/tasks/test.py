"""The task `test`: the held-out views as images, and their metrics."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import imageio.v3 as imageio
import numpy as np
import pandas as pd

from nerf.data.scene import Scene
from nerf.host import processes
from nerf.host.console import Progress
from nerf.host.files import write_atomically
from nerf.render import colours, evaluation
from nerf.render.comparison import side_by_side
from nerf.render.metrics import psnr
from nerf.tasks.job import Job, digest, read_png, write_png
from nerf.train.events import write_scalars

_log = logging.getLogger('nerf')
ENDINGS = ('rgb', 'depth', 'acc')


def render_test(job: Job) -> None:
    """Render the held-out test views to PNGs, and compute metrics if their images are available."""
    scene, step = job.scene, job.trained.step
    test = [int(i) for i in scene.indices('test')]
    has_images = len(scene.pixels) > 0
    cameras = [scene.camera(i) for i in test]
    settings = {'step': step, 'background': job.background, 'views': digest(cameras), 'skip_empty': job.skip_empty}
    folder = job.result_folder('test', settings)
    is_left = processes.of_first([not is_finished(folder, scene, i) for i in test])
    left = [i for i, each in zip(test, is_left, strict=True) if each]
    if len(left) < len(test):
        _log.info('%d of %d test views of step %d are there already', len(test) - len(left), len(test), step)
    progress = Progress('test views', len(test), len(test) - len(left), not processes.is_first(), first='compiling')
    for i in left:
        files = colours.pictures(job.render(scene.camera(i)))
        if processes.is_first():
            for ending in ENDINGS:
                write_png(folder / f'{scene.stem(i)}_{ending}.png', files[ending])
        progress.advance()
    progress.close()
    if not has_images:
        _log.info('the test images are not at %s: views are rendered, metrics are left out', job.trained.run.data_dir)
    elif processes.is_first() and test:
        is_new = bool(left) or not (folder / 'metrics.json').exists()
        means = write_metrics(job, folder, test)
        if is_new and not job.data_name and job.skip_empty_is_usual:
            write_scalars(str(job.folder.parent), step, {f'test/{name}': value for name, value in means.items()})
        write_comparisons(job, folder, test)


def is_finished(folder: Path, scene: Scene, i: int) -> bool:
    """Return whether all pictures of a view are there, undamaged and of its size."""
    size = int(scene.cameras.height[i]), int(scene.cameras.width[i])
    pictures = (read_png(folder / f'{scene.stem(i)}_{ending}.png') for ending in ENDINGS)
    return all(picture is not None and picture.shape[:2] == size for picture in pictures)


def write_comparisons(job: Job, folder: Path, test: Sequence[int]) -> None:
    """Write `NAME_compare.png` for each rendered test view: photo, render, error and depth side by side."""
    for i in test:
        path = folder / f'{job.scene.stem(i)}_compare.png'
        truth = evaluation.over_background(job.scene.image(i), job.background)
        rgb, depth = (imageio.imread(folder / f'{job.scene.stem(i)}_{ending}.png') for ending in ('rgb', 'depth'))
        compared, found = side_by_side(truth, rgb, depth), read_png(path)
        if found is None or not np.array_equal(found, compared):
            write_png(path, compared)


def write_metrics(job: Job, folder: Path, test: Sequence[int]) -> dict[str, float]:
    """Compute the metrics of the rendered test views: writes metrics.csv and metrics.json, logs and returns the means."""
    scene = job.scene
    images, blank = [], []
    for i in test:
        truth = evaluation.over_background(scene.image(i), job.background)
        prediction = imageio.imread(folder / f'{scene.stem(i)}_rgb.png')
        images.append({'image': scene.stem(i), 'width': truth.shape[1], **evaluation.compare(prediction, truth)})
        nothing = evaluation.over_background(np.zeros_like(scene.image(i)), job.background)
        blank.append(psnr(nothing, truth))
    mean, by_width = evaluation.mean_metrics(images), evaluation.means_by_width(images)
    report = {
        'mean': mean,
        **({'by_width': by_width} if by_width else {}),
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
        'step %d, %d test views: %s (the background alone: %.2f dB)',
        job.trained.step,
        len(test),
        evaluation.in_words(mean),
        np.mean(blank),
    )
    for width, means in by_width.items():
        _log.info('%5s px wide: %s', width, evaluation.in_words(means))
    return mean
