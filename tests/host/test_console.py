"""A log that cannot be written ends nothing; tried in processes of their own, whose output is what is broken."""

import io
import os
import subprocess
import sys
import types
from pathlib import Path

import pytest

from nerf.host import console
from nerf.host.console import Progress, in_words

ROOT = Path(__file__).parents[2]
WORK = """
import logging, sys, time
from nerf.errors import exit_with_sentence
from nerf.host.console import Progress, set_up_logging

@exit_with_sentence
def main():
    set_up_logging()
    progress = Progress('work', 300)
    for i in range(300):
        logging.getLogger('nerf').info('a long line of the log, number %d ' + 80 * 'é', i)
        progress.advance('note')
    progress.close()
    open(sys.argv[1], 'w').write('whole')

main()
"""


@pytest.mark.parametrize(
    'output',
    [
        '| head -2',
        '> /dev/full',
        '>&-',
        '>&- 2>&-',
        '| cat',
    ],
)
def test_work_goes_on_without_its_log(tmp_path, output):
    done = tmp_path / 'done'
    command = f'set -o pipefail; "{sys.executable}" -c "$WORK" "{done}" {output}; echo "status $?"'
    environment = {**os.environ, 'WORK': WORK, 'PYTHONPATH': str(ROOT), 'PYTHONIOENCODING': 'ascii', 'LC_ALL': 'C'}
    ran = subprocess.run(['bash', '-c', command], env=environment, capture_output=True, text=True)
    assert done.read_text() == 'whole', ran.stderr
    assert ran.stdout.splitlines()[-1] == 'status 0'
    assert 'Traceback' not in ran.stderr
    assert 'Error' not in ran.stderr


def test_a_sentence_is_printed_in_any_encoding(tmp_path):
    code = "from nerf.errors import *\nexit_with_sentence(lambda: (_ for _ in ()).throw(UserError('場景\\n\\x1b[2J: no')))()"
    environment = {**os.environ, 'PYTHONPATH': str(ROOT), 'PYTHONIOENCODING': 'cp1252'}
    ran = subprocess.run([sys.executable, '-c', code], env=environment, capture_output=True, text=True)
    assert (ran.returncode, ran.stderr) == (1, 'error: \\u5834\\u666f\\n\\x1b[2J: no\n')


@pytest.mark.parametrize(
    ('error', 'sentence'),
    [
        ("OSError(28, 'No space left on device', '/x/y')", '/x/y: No space left on device; expected a disk with room'),
        ('MemoryError()', 'there is not enough memory'),
    ],
)
def test_what_the_machine_lacks_is_a_sentence(error, sentence):
    code = f'from nerf.errors import *\nexit_with_sentence(lambda: (_ for _ in ()).throw({error}))()'
    ran = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True)
    assert ran.returncode == 1
    assert ran.stderr.startswith(f'error: {sentence}')
    assert ran.stderr.count('\n') == 1


def test_ctrl_c_is_one_line_and_cleans_up(tmp_path):
    code = f"""
import os, signal
from nerf.host import interrupts
from pathlib import Path
from nerf.host.files import atomic_file
with interrupts.interruptible():
    with atomic_file(Path({str(tmp_path / 'file')!r})) as temporary:
        temporary.write_text('half')
        os.kill(os.getpid(), signal.SIGINT)
        import time; time.sleep(5)
"""
    ran = subprocess.run([sys.executable, '-c', code], cwd=ROOT, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout, ran.stderr) == (130, '', '\ninterrupted\n')
    assert not list(tmp_path.iterdir())


def test_progress_that_is_soon_done_says_nothing_and_the_rate_has_its_unit(monkeypatch, caplog):
    clock = iter([0.0, 1.0, 3.0, 4.0, 14.0, 15.0, 0.0, 1.0])
    monkeypatch.setattr(console, 'time', types.SimpleNamespace(monotonic=lambda: next(clock)))
    progress = console.Progress('reading', 5, unit='images', after=2.0)
    with caplog.at_level('INFO', logger='nerf'):
        for _ in range(5):
            progress.advance()
    assert [record.getMessage() for record in caplog.records] == [
        'reading 2/5, 0.50 images/s, 6 s left',
        'reading 4/5, 0.23 images/s, 4 s left',
        'reading 5/5, 0.29 images/s',
    ]
    caplog.clear()
    console.Progress('reading', 1, after=2.0).advance()
    assert not caplog.records


@pytest.fixture
def clock(monkeypatch):
    """A clock that goes only where it is told to."""
    now = [1000.0]
    monkeypatch.setattr(console.time, 'monotonic', lambda: now[0])
    monkeypatch.setattr('tqdm.std.time', lambda: now[0])

    def go(seconds):
        now[0] += seconds

    return go


@pytest.fixture
def said(monkeypatch, caplog):
    monkeypatch.setattr(console._log, 'propagate', True)
    caplog.set_level('INFO', logger='nerf')
    return lambda: caplog.messages


def test_the_remaining_time_leaves_compilation_out(clock, said):
    """40 s of compilation, then 4 steps a second."""
    progress = Progress('training', 1001, first='compiling')
    clock(40)
    progress.advance('9.00 dB')
    for _ in range(41):
        clock(0.25)
        progress.advance('12.34 dB')
    assert said() == [
        'training 0/1001, compiling ...',
        'training 1/1001, 9.00 dB',
        'training 42/1001, 4.00/s, 4 min left, 12.34 dB',  # 959 / 4 s; 19 min with the compilation
    ]


def test_a_detour_is_left_out_once(clock, said):
    progress = Progress('training', 100)
    progress.advance()
    for _ in range(2):
        with progress.doing('rendering a validation view'):
            clock(5)
        clock(1)
        progress.advance()
    assert said()[-1] == 'training 3/100, 0.29/s, 6 min left'  # 2 in 1 + 5 + 1 s


def test_a_bar_leaves_compilation_out_and_names_what_is_done(clock, monkeypatch):
    terminal = io.StringIO()
    terminal.isatty = lambda: True
    monkeypatch.setattr(sys, 'stdout', terminal)
    progress = Progress('training', 1001, 1, first='compiling')
    clock(40)
    progress.advance()
    clock(0.25)
    progress.advance()
    with progress.doing('rendering a validation view'):
        clock(5)
    progress.advance()
    assert 'compiling' in terminal.getvalue()
    assert 'rendering a validation view' in terminal.getvalue()
    assert '4.00it/s' in terminal.getvalue()
    assert '04:09' in terminal.getvalue()  # 998 / 4 s


@pytest.mark.parametrize(
    ('seconds', 'words'), [(0.2, '0 s'), (99, '99 s'), (100, '2 min'), (5940, '99 min'), (12000, '3 h 20 min')]
)
def test_durations_have_the_precision_that_one_wants(seconds, words):
    assert in_words(seconds) == words
