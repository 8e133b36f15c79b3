"""What a config says once everything is filled in, and whether two configs describe the same training.

`--config.x=y` is parsed, and refused where there is no such entry, in `nerf.host.flags`.
"""

from typing import Any

import ml_collections

from nerf.config_ranges import check_ranges
from nerf.errors import UserError, unknown
from nerf.models import default_fields
from nerf.ray.background import BACKGROUNDS
from nerf.scene_types import MODEL_FIELDS, scene_type_of

# Entries that cannot change the parameters: logging, evaluation, checkpoints, rendering. Only these may differ between
# runs into one model_dir. (Training images that `test_every` takes away or adds are noticed by their digest.)
FREE = (
    'log_every',
    'eval_every',
    'checkpoint_every',
    'keep_steps',
    'render_chunk',
    'skip_empty',
    'final_tasks',
    'video',
    'test_every',
)


def resolve(config: ml_collections.ConfigDict) -> ml_collections.FrozenConfigDict:
    """Fill every placeholder that `scene_type` decides, and keep what the user set.

    Raises:
        UserError: an unknown scene_type, model or background, or a number that cannot be.
    """
    config = ml_collections.ConfigDict(config)
    config.final_tasks = tuple(name for each in config.final_tasks for name in each.split(','))
    scene_type = scene_type_of(config.scene_type)
    for section, names in (('model', MODEL_FIELDS), ('data', ('background',))):
        for name in names:
            if name in config[section] and config[section][name] is None:
                config[section][name] = getattr(scene_type, name)
    with config.unlocked():
        config.model.compute_dtype = config.compute_dtype
    if config.data.background not in BACKGROUNDS:
        raise unknown('data.background', config.data.background, BACKGROUNDS)
    check_ranges(config, default_fields(config.model_name))
    return ml_collections.FrozenConfigDict(config)


def flatten(config: Any, prefix: str = '') -> dict[str, Any]:
    """List all entries by their dotted names, tuples as lists (as JSON gives them back)."""
    entries: dict[str, Any] = {}
    for name, value in config.items():
        if hasattr(value, 'items'):
            entries.update(flatten(value, f'{prefix}{name}.'))
        else:
            entries[prefix + name] = list(value) if isinstance(value, tuple) else value
    return entries


def check_same_training(old: Any, new: Any, model_dir: str) -> None:
    """Refuse to go on in a folder with settings that would have led to other parameters.

    The number of steps is left to `nerf.train.legs`: a run may be trained longer.

    Raises:
        UserError: naming the entries that differ, with both values.
    """
    before, after = flatten(old), flatten(new)
    differing = [
        f'config.{name} was {before.get(name)!r} and is {after.get(name)!r}'
        for name in sorted(before.keys() | after.keys())
        if before.get(name) != after.get(name) and name.split('.')[0] not in (*FREE, 'num_steps')
    ]
    if differing:
        raise UserError(
            f'{model_dir}: holds a run with other settings ({"; ".join(differing)}): '
            'use these settings, or another --model_dir, or delete this one'
        )
