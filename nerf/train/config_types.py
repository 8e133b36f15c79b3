"""Checking that a config which was read from a file has the entries that configs have, each of its type."""

import math
from collections.abc import Iterable, Mapping
from typing import Any

import ml_collections

from configs import default
from nerf.errors import UserError, unknown
from nerf.models import MODELS
from nerf.scene_types import MODEL_FIELDS

KINDS = {
    int: 'a whole number',
    float: 'a number',
    bool: 'true or false',
    str: 'a text',
    tuple: 'a list',
    ml_collections.ConfigDict: 'an object',
}
# Sections whose entries the user names; of `photos`, each is a section itself.
WEIGHTS, TABLES = ('losses', 'regularisers'), 'photos'
ELEMENTS = {'keep_steps': int, 'final_tasks': str}
MAX_LETTERS = 4096


def check_types(config: Any) -> None:
    """Check a config that was read from JSON against `configs.default` and the fields of its model.

    Entries that are in neither are kept if they are numbers, texts, lists or objects of such.

    Raises:
        UserError: an entry that is missing or of another type.
    """
    _expect(config, ml_collections.ConfigDict, 'config')
    expected = default.get_config()
    name = config.get('model_name')
    _expect(name, str, 'config.model_name')
    if name not in MODELS:
        raise unknown('model_name', name[:80], MODELS)
    expected.model = default.model_config(name)
    expected.model.compute_dtype = expected.compute_dtype
    _check_section(config, expected, 'config')


def _check_section(found: Any, expected: ml_collections.ConfigDict, where: str) -> None:
    _expect(found, ml_collections.ConfigDict, where)
    for name in expected:
        value, dotted = found.get(name), f'{where}.{name}'
        if name not in found:
            raise UserError(f'{dotted} is missing')
        if name in (*WEIGHTS, TABLES):
            _check_named(value, dotted, name == TABLES)
        elif isinstance(expected[name], ml_collections.ConfigDict):
            _check_section(value, expected[name], dotted)
        elif value is not None or expected[name] is not None or name in MODEL_FIELDS:
            _expect(value, expected.get_type(name), dotted)
            for element in value if name in ELEMENTS else ():
                _expect(element, ELEMENTS[name], dotted)
    for name, value in found.items():
        if name not in expected:
            _check_other(value, f'{where}.{name:.80}')


def _check_named(section: Any, where: str, is_of_tables: bool) -> None:
    """Check a section of weights by name, or of tables by name, of which each is a section of numbers."""
    _expect(section, ml_collections.ConfigDict, where)
    for name, value in section.items():
        if is_of_tables:
            _check_named(value, f'{where}.{name:.80}', False)
        else:
            _expect(value, float, f'{where}.{name:.80}')


def _check_other(value: Any, where: str) -> None:
    """Check an entry that only a config of the user's has."""
    if isinstance(value, Mapping | list):
        values: Iterable[Any] = value.values() if isinstance(value, Mapping) else value
        for each in values:
            _check_other(each, where)
    elif value is not None:
        _expect(value, type(value), where)


def _expect(value: Any, kind: type, where: str) -> None:
    """Raise a UserError unless a value of a JSON file is of this kind."""
    if kind is ml_collections.ConfigDict:
        is_right = isinstance(value, dict) and not any('.' in name for name in value)
    elif kind is float:
        is_right = type(value) in (int, float) and abs(value) < 2**1023 and math.isfinite(value)
    elif kind is int:
        is_right = type(value) is int and abs(value) < 2**63
    elif kind is str:
        is_right = isinstance(value, str) and '\0' not in value and len(value) <= MAX_LETTERS
    else:
        is_right = type(value) is (list if kind is tuple else kind)
    if not is_right:
        raise UserError(f'{where} is {_shown(value)}, expected {KINDS.get(kind, kind.__name__)}')


def _shown(value: Any) -> str:
    """Return a value as it can be shown in a message, whatever it is."""
    if isinstance(value, dict | list):
        return 'an object' if isinstance(value, dict) else 'a list'
    text = ascii(value)
    return text if len(text) <= 40 else f'{text[:40]}...'
