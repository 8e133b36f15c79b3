"""The loop: batches in, parameters out, with metrics, pictures and checkpoints on the way."""

import contextlib
import functools
import json
import logging
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

import flax
import jax
import jax.numpy as jnp
import numpy as np
from clu import metrics as clu_metrics
from clu import parameter_overview

from nerf import lifting
from nerf.data.feed import pipeline
from nerf.data.scene import Scene
from nerf.host import processes
from nerf.host.console import Progress
from nerf.models import make_model
from nerf.ray.cameras import Camera
from nerf.ray.structs import Pixel
from nerf.train.board import Board
from nerf.train.checks import make_batches
from nerf.train.divergence import DivergenceMonitor, constant_colour_mse
from nerf.train.events import write_hyperparameters
from nerf.train.legs import Leg
from nerf.train.optimizer import learning_rate, make_optimizer
from nerf.train.reports import Hook, Profile, make_reports
from nerf.train.run_folder import identity
from nerf.train.saving import CheckpointWriter
from nerf.train.state import TrainState, init_state
from nerf.train.step import Metrics, make_train_step
from nerf.train.training_time import TrainingTime

_log = logging.getLogger('nerf')

# Steps between two moments at which the host waits for the devices, and processes agree whether to stop. Long
# un-synchronised loops with collectives can deadlock on forced CPU devices.
SYNC_EVERY = 20
FIRST_STEPS = (1, 2, 5, 10, 20, 50)  # logged besides those of `log_every`, so that the curves begin at once


@flax.struct.dataclass
class Ratio(clu_metrics.Average):
    """A mean given as the pair (sum of weighted terms, sum of weights), so that uneven devices stay right."""

    @classmethod
    def empty(cls) -> 'Ratio':
        """Nothing yet, in the type that sums have: CLU's integer count would have the train step compiled twice."""
        return cls(total=jnp.zeros((), jnp.float32), count=jnp.zeros((), jnp.float32))

    @classmethod
    def from_model_output(cls, pair: jax.Array, **_: Any) -> 'Ratio':
        """Make the metric of one step on one device, in float32."""
        return cls(total=pair[0].astype(jnp.float32), count=pair[1].astype(jnp.float32))


@flax.struct.dataclass
class TrainMetrics(clu_metrics.Collection):
    """Means over all pixels since the last line of the log."""

    loss: Ratio.from_output('loss')
    mse: Ratio.from_output('mse')
    acc: Ratio.from_output('acc')


def make_loop_step(step: Callable[[TrainState, Pixel, Camera], tuple[TrainState, Metrics]]) -> Callable:
    """Make the step over all devices, adding to running totals: (state, totals, pixels, cameras) -> (state, totals)."""

    def with_metrics(state: TrainState, totals: TrainMetrics, *batch: Any) -> tuple[TrainState, TrainMetrics]:
        state, metrics = step(state, *batch)
        return state, totals.merge(TrainMetrics.single_from_model_output(**lifting.sum_over_devices(metrics)))

    return lifting.over_devices(with_metrics, donate=(0, 1))


def train(
    config: Any,
    scene: Scene,
    model_dir: str,
    interruption: processes.Interruption,
    hooks: Sequence[Hook] = (),
    is_profiled: bool = False,
    legs: Sequence[Leg] = (),
) -> TrainState:
    """Train, or go on training, until `num_steps` or an interruption; the un-replicated state, whose `step` tells which.

    Args:
        config: resolved.
        hooks: each is called after every step with (steps done, replicated state), on every process.
        is_profiled: trace a few steps for TensorBoard's profiler.
        legs: of the run, whose last checkpoints are kept.
    """
    model = make_model(config.model_name, config.model)
    optimizer = make_optimizer(config)
    folder, run = os.path.join(model_dir, 'checkpoints'), identity(model_dir)
    checkpoints = CheckpointWriter(folder, keep_steps=(*config.keep_steps, *(leg.start for leg in legs)), run=run)
    start = functools.partial(init_state, model, optimizer, scene.cameras, config.seed, tuple(config.photos))
    shapes = jax.eval_shape(start)
    state = processes.read_by_first(lambda: checkpoints.restore(shapes), shapes) or start()
    if int(state.step) >= config.num_steps:
        _log.info('training is complete at step %d', int(state.step))
        return state
    if processes.is_first() and not int(state.step):
        write_hyperparameters(model_dir, config)
    writer = Board(model_dir, processes.is_first())
    if int(state.step):
        _log.info('going on from the checkpoint of step %d', int(state.step))
        describe_longer(config, legs, int(state.step))
    else:
        describe(writer, config, state.params)
    step_function = make_train_step(model, optimizer, config)
    watch = DivergenceMonitor(constant_colour_mse(scene, config.data.background))
    stopwatch = TrainingTime(model_dir, int(state.step))

    def save(state: TrainState) -> None:
        if processes.is_first():
            stopwatch.note(int(state.step))
            checkpoints.save(state)

    def save_if_due(step: int, state: TrainState) -> None:
        if processes.is_first() and is_checkpoint_due(config, step):
            save(lifting.unreplicate(state))

    progress = Progress('training', config.num_steps, int(state.step), not processes.is_first(), first='compiling')
    actions = [save_if_due, *make_reports(config, model, scene, writer, progress), *hooks]
    if is_profiled and processes.is_first():
        actions.append(Profile(model_dir, int(state.step), config.num_steps))
    try:
        state = loop(config, scene, state, step_function, watch, writer, progress, actions, interruption, save)
    finally:
        writer.flush()
    save(state)
    return state


def is_checkpoint_due(config: Any, step: int) -> bool:
    """Return whether a checkpoint is written after this step."""
    return step % config.checkpoint_every == 0 or step in config.keep_steps or step == config.num_steps


def is_log_due(config: Any, step: int) -> bool:
    """Return whether the means since the last time are logged after this step."""
    return step % config.log_every == 0 or step in FIRST_STEPS or step == config.num_steps


def describe_longer(config: Any, legs: Sequence[Leg], step: int) -> None:
    """Say what changes where a run begins to be trained longer."""
    if len(legs) > 1 and legs[-1].start == step:
        before, after = (float(learning_rate(config.optimizer, leg.num_steps)(step)) for leg in legs[-2:])
        of, to = legs[-2].num_steps, legs[-1].num_steps
        _log.info('training longer: %d steps where it was %d; the learning rate steps from %.3g to %.3g', to, of, before, after)


def describe(writer: Board, config: Any, params: Any) -> None:
    """Say how large the model is, and write config and parameters to TensorBoard as text."""
    _log.info('%s with %s parameters', config.model_name, f'{parameter_overview.count_parameters(params):,}')
    writer.write_texts(0, {'config': json.dumps(config.to_dict(), indent=2), 'parameters': overview_of(params)})


def overview_of(params: Any) -> str:
    """Format a table of all parameters with their shapes, as text."""
    return parameter_overview.get_parameter_overview(params)


def loop(
    config: Any,
    scene: Scene,
    state: TrainState,
    step_function: Callable[[TrainState, Pixel, Camera], tuple[TrainState, Metrics]],
    watch: DivergenceMonitor,
    writer: Board,
    progress: Progress,
    actions: Sequence[Hook],
    interruption: processes.Interruption,
    save: Callable[[TrainState], None],
) -> TrainState:
    """Run the steps that are left, calling `actions` after each, until done or interrupted; the un-replicated state.

    Where what follows a step raises an error, the state of that step is saved (`save`) before the error is told.
    """
    first_step = int(state.step)
    rows = config.batch_size // jax.process_count()
    own = slice(jax.process_index() * rows, (jax.process_index() + 1) * rows)
    batches = pipeline.batches(scene, make_batches(config), first_step, own, jax.local_device_count())
    schedule = learning_rate(config.optimizer, config.num_steps)
    take_step = make_loop_step(step_function)
    cameras = lifting.replicate(scene.cameras)
    state, totals = lifting.replicate((state, TrainMetrics.empty()))
    note = ''
    started = time.monotonic()
    for step in range(first_step + 1, config.num_steps + 1):
        state, totals = take_step(state, totals, next(batches), cameras)
        if step == first_step + 1:
            jax.block_until_ready(state)
            _log.info('compiled for %d device(s) in %.1f s', jax.device_count(), time.monotonic() - started)
        try:
            if is_log_due(config, step):
                counters = lifting.unreplicate((state.skipped, state.skipped_in_row))
                metrics = log_metrics(writer, step, counters, lifting.unreplicate(totals), schedule)
                watch.check(step, metrics)
                totals = lifting.replicate(TrainMetrics.empty())
                note = f'{metrics["psnr"]:.2f} dB'
            for action in actions:
                action(step, state)
        except Exception:
            with contextlib.suppress(Exception):  # what is told is the error that came first
                save(lifting.unreplicate(state))
            raise
        progress.advance(note)
        are_together = step % SYNC_EVERY == 0
        if are_together:
            jax.block_until_ready(state.step)
        if (are_together or jax.process_count() == 1) and interruption.is_requested():
            break
    progress.close()
    return lifting.unreplicate(state)


def log_metrics(
    writer: Board,
    step: int,
    counters: tuple[np.ndarray, np.ndarray],
    totals: TrainMetrics,
    schedule: Callable[[int], float],
) -> dict[str, float]:
    """Write the means since the last call, and (steps skipped, of these in a row), to TensorBoard; as numbers, PSNR in dB."""
    metrics = {name: float(value) for name, value in totals.compute().items()}
    metrics['psnr'] = float(-10 * np.log10(max(metrics['mse'], 1e-12)))
    metrics['skipped_steps'], metrics['skipped_in_row'] = map(int, counters)
    scalars = {**metrics, 'learning_rate': float(schedule(step))}
    writer.write_scalars(step, {f'train/{name}': value for name, value in scalars.items()})
    writer.flush()  # TensorFlow's own would come every two minutes
    if metrics['skipped_in_row']:
        _log.warning('step %d: loss or gradient not finite, %d steps skipped so far', step, metrics['skipped_steps'])
    return metrics
