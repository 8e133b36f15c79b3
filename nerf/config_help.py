"""What `--help` says of configs: a line for each of them, or each entry of one with its value and its comment."""

import ast
import importlib.util
import inspect
import re
import textwrap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from nerf.config import flatten
from nerf.fields.regularisers import REGULARISERS
from nerf.models import MODELS
from nerf.ray.losses import LOSSES
from nerf.ray.photos import PHOTO_NUMBERS

WIDTH = 128
SECTIONS = {'losses': LOSSES, 'regularisers': REGULARISERS, 'photos': PHOTO_NUMBERS}


def list_configs() -> str:
    """List the configs, each with the first line of its docstring, without running any."""
    spec = importlib.util.find_spec('configs')
    folder = Path(spec.submodule_search_locations[0])
    paths = [path for path in sorted(folder.glob('*.py')) if path.stem not in ('__init__', 'default')]
    length = max(len(path.name) for path in paths)
    lines = [f'  {folder.name}/{path.name:{length}}  {_first_line(path)}' for path in paths]
    return '\n'.join(['configs (--config=configs/NAME.py --help says what is in one):', '', *lines])


def describe_config(file: str, config: Any) -> str:
    """List the entries of a config with their values and comments, as one overrides them on the command line."""
    comments, entries = comments_of(config), flatten(config)
    path = Path(file.partition(':')[0])
    lines = [f'{file}: {_first_line(path)}' if path.is_file() else file, '']
    for name in sorted(entries, key=list(comments).index):
        lines.append(f'  --config.{name}={_written(entries[name])}')
        lines += textwrap.wrap(comments[name], WIDTH, initial_indent=8 * ' ', subsequent_indent=8 * ' ')
    return '\n'.join([*lines, '', '--config.ENTRY=none unsets an entry that is none above, or data.width.'])


def comments_of(config: Any) -> Mapping[str, str]:
    """Return the comment of each entry by its dotted name, in the order of `configs.default.COMMENTS`.

    Those of `model` are from the docstring of its class; losses and the like say what their functions do.
    """
    from configs.default import COMMENTS  # which needs this package

    fields = attributes(MODELS[config.model_name]) if config.model_name in MODELS else {}
    found: dict[str, str] = {}
    for entry, comment in COMMENTS.items():
        names = [name for name in flatten(config) if name == entry or name.partition('.')[0] == entry]
        for name in names:
            section, *members = name.split('.')
            if section == 'model' and members:
                found |= {name: fields[members[0]]} if members[0] in fields else {}
            elif section in SECTIONS:
                found[name] = _said_of(SECTIONS[section].get(members[0]), comment)
            else:
                found[name] = comment
    return found


def attributes(of: type) -> dict[str, str]:
    """Return what the section `Attributes` of a class's docstring says of each attribute."""
    _, _, section = inspect.getdoc(of).partition('Attributes:\n')
    found: dict[str, str] = {}
    for names, text in re.findall(r'^ {4}(\w[\w, ]*): (.*(?:\n {8}.*)*)', section, re.MULTILINE):
        found |= dict.fromkeys(names.split(', '), ' '.join(text.split()))
    return found


def _said_of(member: Any, otherwise: str) -> str:
    doc = inspect.getdoc(member) if callable(member) else None
    return f'{otherwise}: {doc.splitlines()[0]}' if doc else otherwise


def _written(value: Any) -> str:
    """A value as it is given on the command line."""
    if value is None:
        return 'none'
    return ','.join(map(str, value)) if isinstance(value, list) else str(value)


def _first_line(path: Path) -> str:
    return (ast.get_docstring(ast.parse(path.read_text(encoding='utf-8'))) or '').partition('\n')[0]
