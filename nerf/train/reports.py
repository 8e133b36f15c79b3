"""Hooks of the training loop that report: validation views, the speed of steps, and a trace for TensorBoard's profiler."""

import logging
import os
from collections.abc import Callable
from typing import Any

import jax
import numpy as np
from clu import periodic_actions
from flax import linen as nn

from nerf.data.scene import Scene
from nerf.host import processes
from nerf.host.console import Progress
from nerf.render import evaluation, outputs
from nerf.render.comparison import NAMES, side_by_side
from nerf.render.image import Renderer
from nerf.train.board import Board
from nerf.train.state import TrainState

Hook = Callable[[int, TrainState], None]
_log = logging.getLogger('nerf')


def make_reports(config: Any, model: nn.Module, scene: Scene, writer: Board, progress: Progress) -> list[Hook]:
    """Make the hooks that write to TensorBoard: a validation view now and then, and how fast the steps are."""
    renderer = Renderer(model, config.data.background, config.render_chunk)

    def validate(step: int, state: TrainState) -> None:
        if config.eval_every and (step % config.eval_every == 0 or step == config.num_steps):
            with progress.doing('rendering a validation view'):
                write_validation(writer, renderer, scene, config.data.background, step, state.variables)

    if not processes.is_first():
        return [validate]
    report = periodic_actions.ReportProgress(num_train_steps=config.num_steps, writer=writer, every_secs=10)
    return [validate, lambda step, state: report(step)]


def write_validation(writer: Board, renderer: Renderer, scene: Scene, background: str, step: int, variables: Any) -> None:
    """Render one held-out view, log its PSNR, and write it to TensorBoard: beside its photo, with opacity and extras."""
    held_out = np.concatenate([scene.indices('val'), scene.indices('test'), scene.indices('train')])
    index = int(held_out[0])
    rendered = renderer.image(variables, scene.camera(index))
    truth = evaluation.over_background(scene.image(index), background)
    pictures = {name: outputs.show(name, rendered, scene.camera(index)) for name in outputs.shown_by_default(rendered)}
    scores = evaluation.compare(pictures['rgb'], truth, evaluation.quick(), scene.mask(index))
    masked = f', {scores["masked_psnr"]:.2f} dB without masked pixels' if scene.used is not None else ''
    _log.info('step %d: validation view %s at %.2f dB%s', step, scene.names[index], scores['psnr'], masked)
    compared = side_by_side(truth, pictures.pop('rgb'), pictures.pop('depth'))
    images = {'_'.join(NAMES): compared, **pictures}
    writer.write_scalars(step, {f'validation/{name}': score for name, score in scores.items()})
    writer.write_images(step, {f'validation/{name}': image[None] for name, image in images.items()})


class Profile:
    """Hook that traces a few steps for TensorBoard's profiler, however few there are, and says where the trace is."""

    STEPS = 5

    def __init__(self, model_dir: str, done: int, num_steps: int) -> None:
        """Choose the steps: the last of those that are left, but none after the first dozen."""
        self._model_dir = model_dir
        self._end = min(done + 12, num_steps)
        self._begin = max(done + 1, self._end - self.STEPS)

    def __call__(self, step: int, state: TrainState) -> None:
        """Begin or end the trace after this step."""
        if step == self._begin < self._end:
            jax.block_until_ready(state.step)
            jax.profiler.start_trace(self._model_dir)
        elif step == self._end > self._begin:
            jax.block_until_ready(state.step)
            jax.profiler.stop_trace()
            where = os.path.join(self._model_dir, 'plugins', 'profile')
            _log.info(
                'trace of steps %d to %d: %s (pip install xprof && xprof %s)', self._begin + 1, step, where, self._model_dir
            )
        elif step == self._end:
            _log.warning('--profile: one step is left, which compiles, and none to trace: expected two at least')
