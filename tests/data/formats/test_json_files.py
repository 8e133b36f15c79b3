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


def test_what_has_no_end_is_not_read(tmp_path):
    (tmp_path / 'endless.json').symlink_to('/dev/zero')
    os.mkfifo(tmp_path / 'queue.json')  # opening it would wait for ever
    for name in ('endless.json', 'queue.json'):
        with pytest.raises(UserError, match=rf'{name}: cannot be read, as it is no file'):
            json_files.read_json(str(tmp_path / name), 'frames')


def test_a_line_is_said_once(caplog):
    for line in ('of one scene: 5 % left out', 'of another scene', 'of one scene: 5 % left out'):
        json_files.say_once(line)
    assert [record.getMessage() for record in caplog.records] == ['of one scene: 5 % left out', 'of another scene']


def test_lists_of_frames_may_be_empty_only_where_it_is_said():
    assert json_files.read_frame_list({'frames': []}, 'here', may_be_empty=True) == []
    for content in ({'frames': []}, {}, {'frames': {}}):
        with pytest.raises(UserError, match='here: expected a list "frames"'):
            json_files.read_frame_list(content, 'here')
    with pytest.raises(UserError, match='here: expected a list "test_frames"'):
        json_files.read_frame_list({'test_frames': None}, 'here', 'test_frames', may_be_empty=True)
