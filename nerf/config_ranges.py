"""The numbers that each entry of a config may have, checked before anything is read or written."""

import dataclasses
import math
from collections.abc import Mapping
from typing import Any

from nerf.errors import UserError

LARGEST = 2**31 - 1


@dataclasses.dataclass(frozen=True)
class Range:
    """The numbers that an entry may have.

    Attributes:
        lowest, highest: included.
        is_whole: whether it must be a whole number.
        is_optional: whether it may be None.
        is_above: whether `lowest` itself is left out.
    """

    lowest: float = 1
    highest: float = LARGEST
    is_whole: bool = True
    is_optional: bool = False
    is_above: bool = False

    def holds(self, value: Any) -> bool:
        """Return whether a value is in the range."""
        if value is None:
            return self.is_optional
        if isinstance(value, bool) or not isinstance(value, int if self.is_whole else (int, float)):
            return False
        return self.lowest <= value <= self.highest and math.isfinite(value) and not (self.is_above and value == self.lowest)

    def __str__(self) -> str:
        kind = 'a whole number' if self.is_whole else 'a number'
        least = f'above {self.lowest:g}' if self.is_above else f'from {self.lowest:g}'
        return f'{kind} {least} to {self.highest:g}{", or none" if self.is_optional else ""}'


POSITIVE = Range(0, 1e12, is_whole=False, is_above=True)
NOT_NEGATIVE = Range(0, 1e12, is_whole=False)
RANGES = {
    'seed': Range(0, 2**32 - 1),
    'num_steps': Range(),
    'batch_size': Range(highest=2**24),
    'test_every': Range(is_optional=True),
    'log_every': Range(),
    'eval_every': Range(0),  # 0: never
    'checkpoint_every': Range(),
    'ray_chunk': Range(highest=2**24, is_optional=True),
    'render_chunk': Range(highest=2**22, is_optional=True),
    'video.num_frames': Range(highest=100_000),
    'video.fps': Range(highest=1000),
    'data.factor': Range(highest=2**14),
    'data.width': Range(highest=2**14, is_optional=True),
    'data.near': Range(0, 1e12, is_whole=False, is_optional=True),
    'data.far': Range(0, 1e30, is_whole=False, is_optional=True, is_above=True),
    'data.crop_steps': Range(0),
    'optimizer.learning_rate': POSITIVE,
    'optimizer.final_learning_rate': POSITIVE,
    'optimizer.decay_steps': Range(is_optional=True),
    'optimizer.warmup_steps': Range(0),
    'optimizer.adam_eps': POSITIVE,
    'optimizer.clip_norm': Range(0, 1e12, is_whole=False, is_optional=True, is_above=True),
}
# Fields of models that count what is built one after the other, which takes time even where nothing is computed.
REPEATED, MOST_REPEATED = ('depth', 'degree', 'levels'), 256
MOST = 2**24  # of samples or features


def check_ranges(config: Any, default_model: Mapping[str, Any]) -> None:
    """Refuse a config with a number that cannot be.

    Args:
        config: after `nerf.config.resolve` has filled it in.
        default_model: the constructor fields of its model with their defaults.

    Raises:
        UserError: naming the entry, its value and the range.
    """
    for name, allowed in RANGES.items():
        _check(name, _entry(config, name), allowed)
    for name, default in default_model.items():
        value = config.model.get(name)
        if isinstance(default, (int, float)) and not isinstance(default, bool):
            most = MOST_REPEATED if any(word in name for word in REPEATED) else MOST
            count = Range(0 if default == 0 or 'degree' in name else 1, most)
            _check(f'model.{name}', value, count if isinstance(default, int) else NOT_NEGATIVE)
    for section in ('losses', 'regularisers'):
        for name, weight in config[section].items():
            _check(f'{section}.{name}', weight, NOT_NEGATIVE)
    for step in config.keep_steps:
        _check('keep_steps', step, Range())
    near, far = config.data.near, config.data.far
    if near is not None and far is not None and near >= far:
        raise UserError(f'config.data.near = {near:g}, config.data.far = {far:g}: expected near before far')


def _entry(config: Any, dotted: str) -> Any:
    for name in dotted.split('.'):
        config = config[name]
    return config


def _check(name: str, value: Any, allowed: Range) -> None:
    if not allowed.holds(value):
        raise UserError(f'config.{name} = {value}: expected {allowed}')
