import importlib
import inspect
from pathlib import Path

import pytest

import configs
from configs import default, quickstart, tiny
from nerf.config import flatten
from nerf.config_help import attributes, comments_of, describe_config, list_configs
from nerf.models import MODELS, default_fields

NAMES = sorted(path.stem for path in Path(configs.__file__).parent.glob('*.py') if path.stem not in ('__init__', 'default'))


def test_every_entry_has_a_comment_and_every_comment_an_entry():
    sections = ('model', 'losses', 'regularisers', 'photos')  # whose entries differ from config to config
    entries = {name for name in flatten(default.get_config()) if name.partition('.')[0] not in sections}
    assert {*default.COMMENTS} == {*entries, *sections}
    assert all(default.COMMENTS.values())


@pytest.mark.parametrize('name', MODELS)
def test_every_field_of_a_model_is_described_by_its_class(name):
    assert default_fields(name).keys() - attributes(MODELS[name]).keys() == set()


@pytest.mark.parametrize('name', NAMES)
def test_every_config_is_described_whole(name):
    config = importlib.import_module(f'configs.{name}').get_config()
    comments = comments_of(config)
    assert {*comments} == {*flatten(config)}
    described = describe_config(f'configs/{name}.py', config).splitlines()
    assert sum(line.startswith('  --config.') for line in described) == len(comments)


def test_values_and_comments_are_those_of_the_config():
    config = quickstart.get_config()
    config.seed = 7
    lines = describe_config('configs/quickstart.py:lego', config).splitlines()
    assert lines[0].startswith('configs/quickstart.py:lego: The first thing to run')
    at = lines.index('  --config.seed=7')
    assert lines[at + 1].strip() == default.COMMENTS['seed']
    assert lines.index('  --config.final_tasks=test,video') > at  # in the order of the file
    assert '  --config.data.width=none' in lines
    assert 'Compute the squared error' in lines[lines.index('  --config.losses.mse=1.0') + 1]
    assert lines[lines.index('  --config.model.bound=1.5') + 1].strip().startswith('half the width of the cube')


def test_attributes_are_read_over_several_lines_and_for_several_names():
    class Thing:
        """Be a thing.

        Attributes:
            a, b: of both,
                and more.
            c: alone: last.

        Nothing else.
        """

    assert attributes(Thing) == {'a': 'of both, and more.', 'b': 'of both, and more.', 'c': 'alone: last.'}


def test_all_configs_are_listed_with_their_first_lines():
    listed = dict(line.split(maxsplit=1) for line in list_configs().splitlines()[2:])
    assert {*listed} == {f'configs/{name}.py' for name in NAMES}
    assert listed['configs/tiny.py'] == inspect.getdoc(tiny).splitlines()[0]
