import json
import shutil
import subprocess
import sys

import pytest

from configs import tiny
from nerf.config import resolve
from nerf.host.untrusted import UnreadableError, checksum
from nerf.train import run_file
from nerf.train.legs import Leg


def write(folder):
    run_file.write_run_file(folder, resolve(tiny.get_config()), [Leg(0, 40)], None, 'abc', ['def'])
    return json.loads((folder / run_file.FILE).read_text())


def test_a_run_says_what_it_was_made_by(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, 'argv', ['/somewhere/main.py', '--config=configs/tiny.py', '--data_dir=my scène\n'])
    made = write(tmp_path)['made']
    assert made['command'].startswith("main.py --config=configs/tiny.py '--data_dir=my sc")
    assert made['command'].isprintable()
    assert made['python'] == '.'.join(map(str, sys.version_info[:3]))
    assert made['system']
    assert 'CPU' in made['hardware']
    assert run_file.read_run_file(tmp_path)['made'] == made


@pytest.mark.skipif(shutil.which('git') is None, reason='needs git')
def test_the_commit_is_that_of_the_checkout(tmp_path, monkeypatch):
    root = tmp_path / 'checkout'
    file = root / 'nerf/train/run_file.py'
    file.parent.mkdir(parents=True)
    file.write_text('one')
    monkeypatch.setattr(run_file, '__file__', str(file))
    assert run_file.made_by()['commit'] is None  # no checkout
    git = ['git', '-C', str(root), '-c', 'user.name=a', '-c', 'user.email=b']
    for words in (['init', '-q'], ['add', '.'], ['commit', '-qm', 'one']):
        subprocess.run([*git, *words], check=True)
    commit = run_file.made_by()['commit']
    assert len(commit) == 40
    file.write_text('two')
    assert run_file.made_by()['commit'] == commit + '+'
    monkeypatch.setenv('PATH', '')
    assert run_file.made_by()['commit'] is None  # no git


@pytest.mark.parametrize('made', [7, ['a'], {'commit': 7}, {'commit': 'a\x1b[2J'}, {'commit': 'a' * 10_000}])
def test_what_nobody_can_have_written_is_refused(tmp_path, made):
    content = {**write(tmp_path), 'made': made}
    content.pop('sha256')
    (tmp_path / run_file.FILE).write_text(json.dumps({**content, 'sha256': checksum(content)}))
    with pytest.raises(UnreadableError, match='made is of another kind'):
        run_file.read_run_file(tmp_path)
