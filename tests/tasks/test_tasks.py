import types

import pytest

from nerf.errors import UserError
from nerf.tasks import check_tasks, should_skip_empty
from nerf.tasks import job as jobs
from nerf.tasks.job import TaskOptions


class Config(types.SimpleNamespace):
    def get(self, name, default):
        return getattr(self, name, default)


def test_unknown_tasks_are_refused_before_any_is_begun():
    with pytest.raises(UserError, match=r"unknown task 'vidio': expected one of .*test, video"):
        check_tasks(['test', 'vidio'], None, None, TaskOptions())


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


def test_folders_of_results_are_found_again_and_never_emptied(tmp_path):
    first = jobs.result_folder(tmp_path, 'test', 'step_7', {'a': 1})
    (first / 'picture').write_text('done')
    assert jobs.result_folder(tmp_path, 'test', 'step_7', {'a': 1}) == first
    second = jobs.result_folder(tmp_path, 'test', 'step_7', {'a': 2})
    assert second == tmp_path / 'test/step_7_2'
    # A folder of someone else's, or whose settings are damaged, is left alone.
    (first / 'settings.json').write_bytes(b'\xff{')
    third = jobs.result_folder(tmp_path, 'test', 'step_7', {'a': 1})
    assert third == tmp_path / 'test/step_7_3'
    assert (first / 'picture').read_text() == 'done'
    # What an interrupted start leaves is taken.
    (tmp_path / 'test/step_8').mkdir()
    (tmp_path / 'test/step_8/.settings-1.partial.json').write_text('')
    assert jobs.result_folder(tmp_path, 'test', 'step_8', {}) == tmp_path / 'test/step_8'


def test_no_folder_of_results_is_a_link(tmp_path):
    (tmp_path / 'victim').mkdir()
    (tmp_path / 'render').mkdir()
    (tmp_path / 'render/video').symlink_to(tmp_path / 'victim')
    with pytest.raises(UserError, match='video: found a link'):
        jobs.result_folder(tmp_path / 'render', 'video', 'step_7', {})
    assert not list((tmp_path / 'victim').iterdir())
