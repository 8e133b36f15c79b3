"""README's commands of rendering, run in order on a small run: the list of files only grows, and no file changes."""

import re
import shlex

import pytest
from commands import ROOT, finish, start, start_python

SHORTER = {'--step=250000': '--step=260', '--num_frames=240': '--num_frames=3', '--width=200': '--width=12'}


def commands_of_readme():
    text = (ROOT / 'README.md').read_text()
    section = text[text.index('## Rendering') : text.index('From Python:')]
    lines = re.findall(r'^python (render\.py .*)$', section, re.MULTILINE)
    return [[SHORTER.get(word, word) for word in shlex.split(line, comments=True)] for line in lines]


def files_of(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob('*') if path.is_file()}


def test_readme_commands_leave_everything(tmp_path):
    pytest.importorskip('trimesh')
    commands = [words for words in commands_of_readme() if '--task=view' not in words]
    assert len(commands) >= 7
    finish(start(tmp_path, '--config.num_steps=300', "--config.final_tasks=('test',)"))
    before = files_of(tmp_path)
    for words in commands:
        words = [word.replace('logs/lego', str(tmp_path)) for word in words]
        if not any(word.startswith('--num_frames') for word in words):
            words.append('--num_frames=3')
        finish(start_python(*words, *(['--level=0.1', '--resolution=32'] if '--task=mesh' in words else [])))
        after = files_of(tmp_path)
        missing = before.keys() - after.keys()
        # Frames, of which videos are made, get the maps that another --show names besides.
        changed = [name for name in before if after.get(name) != before[name] and 'frames' not in name.parts]
        assert not missing, (words, missing)
        assert not changed, (words, changed)
        print(' '.join(words), *sorted(map(str, after.keys() - before.keys())), sep='\n  ')
        before = after
