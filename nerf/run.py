"""What the two commands do: train, evaluate and render a scene; or render one that was trained."""

import contextlib
import dataclasses
import logging
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ml_collections
import numpy as np
from flax import linen as nn

from nerf import lifting
from nerf.config import flatten, resolve
from nerf.data.feed import scenes
from nerf.data.formats import BUILT_IN, resolve_source
from nerf.data.inspect.report import Source, short_form
from nerf.data.options import options_of
from nerf.data.scene import Scene
from nerf.debug_ray import find_pixel, stages
from nerf.errors import UserError
from nerf.host import processes
from nerf.host.locks import lock_training
from nerf.models import make_model
from nerf.tasks import check_tasks, run_tasks
from nerf.tasks.job import TaskOptions, digest
from nerf.train.checks import check_installed, check_training
from nerf.train.optimizer import make_optimizer
from nerf.train.run_folder import Run, Trained, load, prepare, save_run
from nerf.train.state import init_state
from nerf.train.step import check_objective
from nerf.viewer.server import Address
from nerf.viewer.watching import check_watching, watching

_log = logging.getLogger('nerf')


def read_scene(config: Any, data_dir: str | None) -> tuple[Scene, str | None]:
    """Read the scene of a config, and return the folder it was found in (None: built in)."""
    format, folder = resolve_source(config.data.format, data_dir, config.scene)
    options = options_of(config)
    scene = scenes.read_scene(format, folder, '', options)
    for line in short_form(scene, Source(format, folder, options)):
        _log.info('%s', line)
    return scene, folder or None


def check_source(config: Any, data_dir: str | None) -> None:
    """Refuse a scene's name without its data: only configs that name none use the built-in scene.

    Raises:
        UserError: naming the scene.
    """
    if config.scene and data_dir is None and config.data.format != BUILT_IN:
        raise UserError(
            f'scene {config.scene!r}: no --data_dir was given; add it, or train the built-in scene with --config.scene='
        )


def run_name(config_file: str, config: Any, data_dir: str | None) -> str:
    """Return the default name of a run: that of its config and of the folder of its data, so that two scenes share none.

    Raises:
        UserError: no scene is found there.
    """
    check_source(config, data_dir)
    _, folder = resolve_source(config.data.format, data_dir, config.scene)
    return '_'.join(filter(None, [Path(config_file).stem, data_name(folder)]))


def data_name(folder: str) -> str:
    """Return a name for a data folder that can be part of the name of another."""
    return re.sub(r'[^\w.-]+', '_', Path(folder).absolute().name).strip('.') if folder else ''


def debug(config: ml_collections.ConfigDict, data_dir: str | None, model_dir: str, asked: str) -> None:
    """Print each stage of one pixel, by the newest checkpoint of `model_dir`, or before the first step where there is none.

    Raises:
        UserError: no such photo or pixel, or whatever is wrong with the config or the data.
    """
    config = resolve(config)
    check_objective(config)
    check_source(config, data_dir)
    scene, _ = read_scene(config, data_dir)
    check_training(config, scene)
    pixel = find_pixel(scene, asked)
    if (Path(model_dir) / 'checkpoints').is_dir():
        found = load(model_dir)
        config, step = found.config, found.step
        model, variables, photos = found.model, found.variables, found.photos
    else:
        model, step = make_model(config.model_name, config.model), 0
        state = init_state(model, make_optimizer(config), scene.cameras, config.seed, tuple(config.photos))
        variables, photos = state.variables, state.photos
    name, xy = scene.names[int(pixel.camera)], ', '.join(f'{x:g}' for x in pixel.xy)
    print(f'pixel ({xy}) px of {name}, by {config.model_name} of step {step}')
    print('\n'.join(stages(model, config, variables, photos, scene, pixel, step)))


def what_must_agree(config: Any, scene: Scene) -> dict[str, Any]:
    """Describe by name what all processes of a run must have alike: the data, and all settings, as they render together too."""
    names = np.array([*scene.names, *scene.split])
    data = digest(scene.cameras, scene.pixels, scene.weights, names, scene.used)
    return {**{f'config.{name}': value for name, value in flatten(config).items()}, 'the digest of the data': data}


def run(
    config: ml_collections.ConfigDict,
    data_dir: str | None,
    model_dir: str,
    is_profiled: bool = False,
    viewer: Address | None = None,
) -> None:
    """Train a scene into `model_dir`, evaluate it and render what the config says; or do what is missing of it.

    With a `viewer`, browsers see it there while it is learned, and afterwards until the user asks to stop.

    Raises:
        UserError: whatever is wrong with the config, the data or the folder, before anything is written.
    """
    check_installed()
    config = resolve(config)
    check_objective(config)
    check_watching(viewer)
    model = make_model(config.model_name, config.model)
    check_tasks(config.final_tasks, config, model, TaskOptions())
    check_source(config, data_dir)
    scene, folder = read_scene(config, data_dir)
    check_training(config, scene)
    processes.check_same(lambda: what_must_agree(config, scene))
    with contextlib.ExitStack() as held:
        if processes.is_first():
            prepare(model_dir)
            held.enter_context(lock_training(Path(model_dir)))
        _run(config, model, scene, folder, model_dir, is_profiled, viewer)


def _run(
    config: Any, model: nn.Module, scene: Scene, folder: str | None, model_dir: str, is_profiled: bool, viewer: Address | None
) -> None:
    """Do what `run` does, in a folder that is locked."""
    from nerf.train.loop import train  # TensorFlow and CLU start here: rendering does without

    run = Run(config, folder, training_digest(scene), scene)
    if processes.is_first():
        run = dataclasses.replace(run, legs=save_run(model_dir, run))
    processes.wait_for_all('run saved')
    with contextlib.ExitStack() as held:
        interruption = held.enter_context(processes.Interruption().catch_signals())
        watcher = held.enter_context(watching(viewer, model, scene, config, model_dir))
        state = train(config, scene, model_dir, interruption, [watcher] if watcher else [], is_profiled, run.legs)
        step = int(state.step)
        if step < config.num_steps:
            _log.info('stopped at step %d, which is saved: the same command goes on from there', step)
            return
        trained = Trained(model, state.params, state.state, state.photos, config, scene, step, run)
        attentive = watcher.attentive(interruption, lifting.replicate(trained.variables)) if watcher else interruption
        try:
            run_tasks(config.final_tasks, trained, scene, model_dir, attentive)
        except processes.Interrupted:
            _log.info('stopped while rendering: the same command goes on from there')
            return
        _log.info('done: %s (tensorboard --logdir=%s)', Path(model_dir) / 'render', model_dir)
        if watcher:
            run_tasks(['view'], trained, scene, model_dir, interruption, TaskOptions(sessions=watcher.sessions))


def render(model_dir: str, tasks: Sequence[str], step: int | None, data_dir: str | None, options: TaskOptions) -> None:
    """Do tasks with a trained scene.

    Raises:
        UserError: no run or checkpoint there, an unknown task, data that cannot be read.
    """
    trained = load(model_dir, step)
    check_tasks(tasks, trained.config, trained.model, options)
    _log.info('%s of step %d from %s', trained.config.model_name, trained.step, model_dir)
    with processes.Interruption().catch_signals() as interruption:
        try:
            scene = scene_to_render(trained, data_dir)
            run_tasks(tasks, trained, scene, model_dir, interruption, options, other_data(trained, data_dir, scene))
        except processes.Interrupted:
            _log.info('stopped while rendering: the same command goes on from there')


def other_data(trained: Trained, data_dir: str | None, scene: Scene) -> str:
    """Return the name of the data folder that was asked for; '' if its training images and cameras are those of the run."""
    if data_dir is None or training_digest(scene) == trained.run.digest:
        return ''
    return data_name(resolve_source(trained.config.data.format, data_dir, trained.config.scene)[1])


def training_digest(scene: Scene) -> str:
    """Compute a short hash of the training images, their cameras, weights and masks."""
    train = scene.indices('train')
    images, masks = ([of(int(i)) for i in train] for of in (scene.image, scene.mask))
    return digest(scene.cameras.at(train), images, scene.weights, masks)


def scene_to_render(trained: Trained, data_dir: str | None) -> Scene:
    """Read the scene at `data_dir`, else where it was trained from; its cameras alone if its images are missing."""
    if data_dir is not None:
        return read_scene(trained.config, data_dir)[0]
    try:
        return read_scene(trained.config, trained.run.data_dir)[0]
    except UserError:
        return trained.scene
