"""Single entries for TensorBoard beside those of the training loop: hyperparameters, and the metrics of test views.

They are written whole, without TensorFlow; where TensorBoard is not installed, they are left out.
"""

import importlib.util
import io
import logging
import os
import socket
import time
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

from nerf.config import flatten
from nerf.errors import UserError
from nerf.host.files import write_atomically
from nerf.host.untrusted import reason_of
from nerf.models import default_fields

HYPERPARAMETERS = (
    'model_name',
    'scene_type',
    'seed',
    'num_steps',
    'batch_size',
    'data.width',
    'data.factor',
    'optimizer.learning_rate',
)
SECTIONS = ('losses', 'regularisers', 'photos')
_log = logging.getLogger('nerf')


def hyperparameters(config: Any) -> dict[str, bool | float | str]:
    """List the entries by which runs are told apart: the most asked for, and what the model's defaults do not say."""
    entries, defaults = flatten(config), default_fields(config.model_name)
    kept = {
        name: value
        for name, value in entries.items()
        if value is not None
        and (
            name in HYPERPARAMETERS
            or name.split('.')[0] in SECTIONS
            or (name.startswith('model.') and value != defaults.get(name.removeprefix('model.'), value))
        )
    }
    return {name: value if isinstance(value, bool | int | float | str) else str(value) for name, value in kept.items()}


def write_hyperparameters(model_dir: str, config: Any) -> None:
    """Write the hyperparameters of a run, which TensorBoard lists under the name of its folder."""

    def summaries() -> Iterable[Any]:
        from tensorboard.plugins.hparams.summary_v2 import hparams_pb

        return [hparams_pb(hyperparameters(config), trial_id=Path(model_dir).resolve().name)]

    _write(model_dir, 0, summaries)


def write_scalars(model_dir: str, step: int, values: Mapping[str, float]) -> None:
    """Write one number for each name, at a step."""

    def summaries() -> Iterable[Any]:
        from tensorboard.plugins.scalar.summary_v2 import scalar_pb

        return [scalar_pb(name, float(value)) for name, value in values.items()]

    _write(model_dir, step, summaries)


def _write(model_dir: str, step: int, summaries: Callable[[], Iterable[Any]]) -> None:
    """Write a file of its own: TensorBoard reads those of a folder one after the other, in the order of their times."""
    if importlib.util.find_spec('tensorboard') is None:
        return
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.summary.writer.record_writer import RecordWriter

    now, content = time.time(), io.BytesIO()
    writer = RecordWriter(content)
    writer.write(Event(wall_time=now, file_version='brain.Event:2').SerializeToString())
    for summary in summaries():
        writer.write(Event(wall_time=now, step=step, summary=summary).SerializeToString())
    # A second early: before the file of the training loop that is begun next, which would else not be read to its end.
    name = f'events.out.tfevents.{int(now) - 1}.{socket.gethostname()}.{os.getpid()}.{time.monotonic_ns()}'
    try:
        write_atomically(Path(model_dir) / name, content.getvalue())
    except (OSError, UserError) as error:
        _log.warning('%s: TensorBoard gets no such numbers (%s)', model_dir, reason_of(error))
