import json
import subprocess
import sys

import pytest

from nerf.benchmark import everything


def test_all_configs_that_are_measured_exist_at_both_scales(tmp_path):
    (tmp_path / 'blender' / 'lego').mkdir(parents=True)
    (tmp_path / 'bonsai').mkdir()
    for scale in everything.SCALES:
        found = dict(everything.parts(scale, str(tmp_path)))
        assert len(found) == 2 + len(everything.SPEEDS) + len(everything.CURVES)
        files = [flag.removeprefix('--config=').split(':')[0] for flags in found.values() for flag in flags if '.py' in flag]
        assert len(files) == len(found) - 2
        assert all((everything.Path(__file__).parents[2] / file).is_file() for file in files)
        assert f'--data_dir={tmp_path / "blender"}' in found['lego by instant_blender']
        assert f'--data_dir={tmp_path}' in found['bonsai by mipnerf360']


def test_scenes_that_are_not_there_are_left_out_with_a_word(tmp_path, caplog, monkeypatch):
    monkeypatch.setattr(everything._log, 'propagate', True)
    with caplog.at_level('INFO', logger='nerf'):
        names = [name for name, _ in everything.parts('tiny', None)]
    assert len(names) == 2 + len(everything.SPEEDS)
    assert 'lego is not below --data_dir=None: seconds to a PSNR on it are left out' in caplog.text


@pytest.mark.parametrize(
    ('code', 'expected'),
    [
        ('import sys; print("one"); sys.exit("error: there is\\nno such chip")', {'failed': 'no such chip'}),
        ('import time; time.sleep(60)', {'failed': 'not done after 1 s'}),
        ('import os; os.kill(os.getpid(), 9)', {'failed': 'no reason was given'}),
    ],
)
def test_a_part_that_fails_says_why_and_ends_alone(code, expected, monkeypatch, tmp_path):
    run = subprocess.run

    def run_code(command, **options):
        (answer,) = [word.removeprefix('--json=') for word in command if word.startswith('--json=')]
        return run([sys.executable, '-c', code if 'bad' in command else f'open({answer!r}, "w").write("[1]")'], **options)

    monkeypatch.setattr(everything.subprocess, 'run', run_code)
    monkeypatch.setattr(everything, 'parts', lambda scale, data_dir: [('one', ['good']), ('two', ['bad']), ('three', ['good'])])
    figures = everything.measure_everything('tiny', None, str(tmp_path / 'out.json'), longest=1.0)
    assert figures == {'one': [1], 'two': expected, 'three': [1]}
    assert json.loads((tmp_path / 'out.json').read_text()) == figures
