import types

import pytest

from nerf.errors import UserError
from nerf.tasks import run_tasks, should_skip_empty
from nerf.tasks.job import TaskOptions


class Config(types.SimpleNamespace):
    def get(self, name, default):
        return getattr(self, name, default)


def test_unknown_tasks_are_refused_before_any_is_begun():
    with pytest.raises(UserError, match=r"unknown task 'vidio': expected one of .*test, video"):
        run_tasks(['test', 'vidio'], None, None, '', None)


@pytest.mark.parametrize('said', [True, False])
def test_what_is_empty_is_skipped_as_asked_else_as_the_config_says(said):
    config = Config(scene_type='object', skip_empty=said)
    assert should_skip_empty(config, TaskOptions()) is said
    assert should_skip_empty(config, TaskOptions(skip_empty=not said)) is not said


def test_nothing_is_empty_in_all_of_space():
    config = Config(scene_type='unbounded', skip_empty=True)
    assert should_skip_empty(config, TaskOptions()) is False
    with pytest.raises(UserError, match='--skip_empty: in a scene of type unbounded'):
        should_skip_empty(config, TaskOptions(skip_empty=True))
