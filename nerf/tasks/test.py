"""The task `test`: the held-out views, or those of another split, as images, and their metrics."""

import json
import logging
from collections.abc import Sequence
from pathlib import Path

import imageio.v3 as imageio
import jax
import numpy as np
import pandas as pd

from nerf.data.scene import Scene
from nerf.host import processes
from nerf.host.console import Progress
from nerf.host.files import write_atomically
from nerf.render import colours, evaluation, outputs
from nerf.render.comparison import side_by_side
from nerf.render.metrics import METRICS, psnr
from nerf.tasks.job import Job, digest, read_png, write_png
from nerf.train.events import write_scalars

_log = logging.getLogger('nerf')
ENDINGS = ('rgb', 'depth', 'acc')


def render_test(job: Job) -> None:
    """Render the views of a split, usually the held-out test views, to PNGs, and compute metrics if their images are there."""
    scene, step, split = job.scene, job.trained.step, job.options.split
    views = [int(i) for i in scene.indices(split)]
    if not views:
        reason = 'no view is held out from training' if split == 'test' else f'the scene has no {split} views'
        _log.warning('%s, so none is rendered and there are no metrics; see config.test_every', reason)
        return
    has_images = len(scene.pixels) > 0
    cameras = [scene.camera(i) for i in views]
    endings = endings_of(job)
    settings = {'step': step, 'background': job.background, 'views': digest(cameras), 'skip_empty': job.skip_empty}
    folder = job.result_folder(split, settings)
    is_left = processes.of_first([not is_finished(folder, scene, i, endings) for i in views])
    left = [i for i, each in zip(views, is_left, strict=True) if each]
    if len(left) < len(views):
        _log.info('%d of %d %s views of step %d are there already', len(views) - len(left), len(views), split, step)
    progress = Progress(f'{split} views', len(views), len(views) - len(left), not processes.is_first(), first='compiling')
    for i in left:
        view = job.render(scene.camera(i))
        files = colours.pictures(view)
        files |= {name: outputs.show(name, view, scene.camera(i)) for name in endings if name not in files}
        if processes.is_first():
            for ending in endings:
                if not is_whole(folder, scene, i, ending):
                    write_png(folder / f'{scene.stem(i)}_{ending}.png', files[ending])
        progress.advance()
    progress.close()
    if not has_images:
        _log.info('the %s images are not at %s: views are rendered, metrics are left out', split, job.trained.run.data_dir)
    elif processes.is_first():
        is_new = bool(left) or not (folder / 'metrics.json').exists()
        means = write_metrics(job, folder, views)
        if split == 'test' and is_new and not job.data_name and job.skip_empty_is_usual:
            write_scalars(str(job.folder.parent), step, {f'test/{name}': value for name, value in means.items()})
        write_comparisons(job, folder, views)


def endings_of(job: Job) -> list[str]:
    """Return the endings of the pictures that are made of each view: with the transparent ones that `--show` asks for."""
    return [*ENDINGS, *(name for name in job.options.show if outputs.output_of(name).has_alpha)]


def is_finished(folder: Path, scene: Scene, i: int, endings: Sequence[str] = ENDINGS) -> bool:
    """Return whether all pictures of a view are there, undamaged and of its size."""
    return all(is_whole(folder, scene, i, ending) for ending in endings)


def is_whole(folder: Path, scene: Scene, i: int, ending: str) -> bool:
    """Return whether one picture of a view is there, undamaged and of its size."""
    picture = read_png(folder / f'{scene.stem(i)}_{ending}.png')
    return picture is not None and picture.shape[:2] == (int(scene.cameras.height[i]), int(scene.cameras.width[i]))


def write_comparisons(job: Job, folder: Path, views: Sequence[int]) -> None:
    """Write `NAME_compare.png` for each rendered view: photo, render, error and depth side by side."""
    for i in views:
        path = folder / f'{job.scene.stem(i)}_compare.png'
        truth = evaluation.over_background(job.scene.image(i), job.background)
        rgb, depth = (imageio.imread(folder / f'{job.scene.stem(i)}_{ending}.png') for ending in ('rgb', 'depth'))
        compared, found = side_by_side(truth, rgb, depth), read_png(path)
        if found is None or not np.array_equal(found, compared):
            write_png(path, compared)


def write_metrics(job: Job, folder: Path, views: Sequence[int]) -> dict[str, float]:
    """Compute the metrics of the rendered views: writes metrics.csv and metrics.json, logs and returns the means."""
    scene = job.scene
    images, blank, sizes = [], [], []
    progress = Progress('metrics', len(views))
    for i in views:
        if jax.process_count() == 1:  # others measure nothing, and could not answer
            job.interruption.check()
        truth = evaluation.over_background(scene.image(i), job.background)
        prediction = imageio.imread(folder / f'{scene.stem(i)}_rgb.png')
        scores = evaluation.compare(prediction, truth, used=scene.mask(i))
        images.append({'image': scene.stem(i), 'width': truth.shape[1], **scores})
        sizes.append(truth.shape[:2])
        nothing = evaluation.over_background(np.zeros_like(scene.image(i)), job.background)
        blank.append(psnr(nothing, truth))
        progress.advance()
    progress.close()
    mean, by_width = evaluation.mean_metrics(images), evaluation.means_by_width(images)
    left_out, worst = evaluation.left_out(sizes, evaluation.installed()), evaluation.worst(images)
    report = {
        'mean': mean,
        **({'by_width': by_width} if by_width else {}),
        **({'left_out': left_out} if left_out else {}),
        'worst': [{'image': image['image'], 'psnr': image['psnr']} for image in worst],
        'images': images,
        'step': job.trained.step,
        'protocol': evaluation.protocol(mean),
        'background_psnr': float(np.mean(blank)),
        'skip_empty': job.skip_empty,
        'scene': job.trained.config.scene,
        'model': job.trained.config.model_name,
    }
    write_atomically(folder / 'metrics.csv', pd.DataFrame(images).to_csv(index=False).encode())
    write_atomically(folder / 'metrics.json', json.dumps(report, indent=2).encode())
    _log.info(
        'step %d, %d %s views: %s (the background alone: %.2f dB)',
        job.trained.step,
        len(views),
        scene.split[views[0]],
        evaluation.in_words(mean),
        np.mean(blank),
    )
    for width, means in by_width.items():
        _log.info('%5s px wide: %s', width, evaluation.in_words(means))
    for name, reason in left_out.items():
        _log.info('%s is left out of %s', METRICS[name].label, reason)
    if len(images) > len(worst):
        _log.info('worst views: %s', ', '.join(f'{image["image"]} {image["psnr"]:.2f} dB' for image in worst))
    return mean
