import os

import pytest

from nerf.data.formats import json_files
from nerf.errors import UserError


def test_size_is_checked_before_a_file_is_read(tmp_path, monkeypatch):
    path = tmp_path / 'transforms.json'
    path.write_text('{"frames": []}')
    assert json_files.read_json(str(path), 'frames') == {'frames': []}
    monkeypatch.setattr(json_files, 'MAX_BYTES', 13)
    with pytest.raises(UserError, match=r'transforms\.json: has more than .* expected frames'):
        json_files.read_json(str(path), 'frames')


def test_folders_are_no_json(tmp_path):
    with pytest.raises(UserError, match='cannot be read'):
        json_files.read_json(str(tmp_path), 'frames')


@pytest.mark.parametrize(
    ('path', 'expected'), [('./a/b.png', 'a/b.png'), ('a//b', 'a/b'), ('a/../b', 'b'), ('..a/b', '..a/b'), ('a..', 'a..')]
)
def test_paths_within_are_made_short(path, expected):
    assert json_files.path_within(path, 'here') == expected


@pytest.mark.parametrize('path', ['..', '../a', 'a/../../b', '/a', './../a', 'a\0b'])
def test_paths_that_leave_are_refused(path):
    with pytest.raises(UserError, match=r'here: file_path .* leaves the scene folder'):
        json_files.path_within(path, 'here')


def test_what_has_no_end_is_not_read(tmp_path):
    (tmp_path / 'endless.json').symlink_to('/dev/zero')
    os.mkfifo(tmp_path / 'queue.json')  # opening it would wait for ever
    for name in ('endless.json', 'queue.json'):
        with pytest.raises(UserError, match=rf'{name}: cannot be read, as it is no file'):
            json_files.read_json(str(tmp_path / name), 'frames')
