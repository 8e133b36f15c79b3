import json
import os

import pytest

from nerf.train.training_time import TrainingTime

SOUND = {'seconds': 5.0, 'hardware': ['A']}
DAMAGED = {
    'nested': '[' * 10**5,
    'nested object': '{"5":' * 10**5,
    'long number': f'{{"5": {{"seconds": {"9" * 400}, "hardware": []}}}}',
    'longer number': f'{{"5": {{"seconds": {"9" * 9999}, "hardware": []}}}}',
    'long step': f'{{"{"9" * 9999}": {{"seconds": 5, "hardware": []}}}}',
    'infinite': '{"5": {"seconds": Infinity, "hardware": []}}',
    'nan': '{"5": {"seconds": NaN, "hardware": []}}',
    'negative': '{"5": {"seconds": -1, "hardware": []}}',
    'step': '{"-5": {"seconds": 1, "hardware": []}}',
    'other digits': '{"\u0665": {"seconds": 1, "hardware": []}}',
    'surrogate': '{"5": {"seconds": 1, "hardware": ["\\ud800"]}}',
    'null': 'null',
    'no utf-8': b'\xff\xfe',
}


@pytest.mark.parametrize('name', DAMAGED)
def test_no_damage_keeps_a_run_from_going_on(tmp_path, name):
    content = DAMAGED[name]
    path = tmp_path / 'training.json'
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    before = path.read_bytes()
    TrainingTime(str(tmp_path), 5).note(6)  # it is not known how long the run has taken until step 5
    assert path.read_bytes() == before
    TrainingTime(str(tmp_path), 0).note(6)
    assert list(json.loads(path.read_text())) == ['6']


@pytest.mark.parametrize('kind', ['folder', 'pipe', 'device', 'loop'])
def test_what_is_no_file_is_no_hindrance(tmp_path, kind, caplog):
    path = tmp_path / 'training.json'
    if kind == 'folder':
        (path / 'in it').mkdir(parents=True)
    elif kind == 'pipe':
        os.mkfifo(path)
    else:
        path.symlink_to('/dev/zero' if kind == 'device' else path)
    timing = TrainingTime(str(tmp_path), 0)
    timing.note(3)
    timing.note(4)
    if kind == 'folder':
        (record,) = caplog.records
        assert 'training.json: the time of training is not recorded' in record.getMessage()
    else:
        assert list(json.loads(path.read_text())) == ['3', '4']


def test_what_is_sound_is_added_to(tmp_path):
    (tmp_path / 'training.json').write_text(json.dumps({'5': SOUND, '9': SOUND}))
    TrainingTime(str(tmp_path), 5).note(6)
    kept = json.loads((tmp_path / 'training.json').read_text())
    assert kept['5'] == SOUND
    assert 5 <= kept['6']['seconds'] < 6
    assert '9' not in kept
