"""Several processes train together, each with its own disk, and end together."""

import re
import shutil
import socket
import time

import pytest
from commands import finish, start, start_python

from nerf.train.checkpoints import Checkpoints, verify
from nerf.train.run_folder import load

FLAGS = ('--config.num_steps=400', '--config.checkpoint_every=20', '--config.eval_every=1000', '--config.final_tasks=()')


@pytest.fixture
def join():
    """The flags of each of two processes."""
    with socket.socket() as probe:
        probe.bind(('localhost', 0))
        address = f'localhost:{probe.getsockname()[1]}'
    return [(f'--coordinator={address}', '--num_processes=2', f'--process_id={i}') for i in range(2)]


def check_end(process, beginning, seconds=60):
    """The process ends in time with status 1 and one sentence, which begins like this, and no dump.

    Where all refuse for the same reason, one may say first that another has stopped for it.
    """
    check_output(process, process.communicate(timeout=seconds)[0], beginning)


def check_output(process, output, beginning):
    assert process.returncode == 1, output
    sentences = [line for line in output.splitlines() if line.startswith('error: ')]
    assert len(sentences) == 1, output
    assert re.sub(r'^error: process \d stopped: (?=the processes differ)', 'error: ', sentences[0]).startswith(beginning), (
        output
    )
    assert output.rstrip().endswith(sentences[0])
    assert 'Traceback' not in output
    assert 'stack trace' not in output


@pytest.mark.parametrize('victim', [0, 1])
def test_killed_and_resumed_without_a_shared_disk(tmp_path, join, victim):
    folders = [tmp_path / 'first', tmp_path / 'second']
    both = [start(folders[i], *FLAGS, *join[i]) for i in range(2)]
    checkpoints = Checkpoints(str(folders[0] / 'checkpoints'))
    while not checkpoints.steps():
        assert [each.poll() for each in both] == [None, None]
        time.sleep(0.1)
    both[victim].kill()
    check_end(both[1 - victim], f'error: process {victim} is gone (killed, crashed or cut off): start all processes again')
    both[victim].communicate()
    saved = checkpoints.steps()
    assert saved[-1] < 400
    verify(checkpoints.path(saved[-1]))
    outputs = finish(*(start(folders[i], *FLAGS, "--config.final_tasks=('test',)", *join[i]) for i in range(2)))
    assert f'going on from the checkpoint of step {saved[-1]}' in outputs[0]
    assert load(str(folders[0])).step == 400
    assert (folders[0] / 'render/test/metrics.json').exists()
    # Rendered again: process 0 alone knows which of the views are there.
    views = sorted((folders[0] / 'render/test').glob('*_rgb.png'))
    views[0].unlink()
    outputs = finish(*(start(folders[i], *FLAGS, "--config.final_tasks=('test',)", *join[i]) for i in range(2)))
    assert f'{len(views) - 1} of {len(views)} test views of step 400 are there already' in outputs[0]
    assert views[0].exists()
    assert not folders[1].exists()


def test_other_settings(tmp_path, join):
    both = [start(tmp_path / 'run', *FLAGS, *join[i], f'--config.batch_size={64 - 32 * i}') for i in range(2)]
    for process in both:
        check_end(process, 'error: the processes differ: in process 1 config.batch_size is 32 and 64 in process 0;')
    assert not (tmp_path / 'run').exists()


def test_other_data(tmp_path, join):
    folder = tmp_path / 'capture'
    command = ('-m', 'nerf.data.procedural', f'--out={folder}', '--width=16')
    finish(start_python(*command))
    other = tmp_path / 'other'
    shutil.copytree(folder, other)
    photos = sorted(other.rglob('*.png'))
    photos[0].write_bytes(photos[1].read_bytes())
    both = [start(tmp_path / 'run', *FLAGS, *join[i], f'--data_dir={path}') for i, path in enumerate((folder, other))]
    for process in both:
        check_end(process, 'error: the processes differ: in process 1 the digest of the data is ')
    assert not (tmp_path / 'run').exists()


def test_one_refuses(tmp_path, join):
    both = [start(tmp_path, *FLAGS, *join[0]), start(tmp_path, *FLAGS, *join[1], f'--data_dir={tmp_path / "none"}')]
    check_end(both[1], f'error: {tmp_path / "none"}: no such folder')
    check_end(both[0], f'error: process 1 stopped: {tmp_path / "none"}: no such folder')


def test_the_other_never_comes(tmp_path, join):
    process = start(tmp_path, *join[0], '--wait=2')
    check_end(process, f'error: {join[0][0]}: 1 process of 2 did not come within 2 s (--process_id=1): start all of them')


@pytest.mark.parametrize('is_refused', [False, True])
def test_in_a_cluster(tmp_path, monkeypatch, is_refused):
    """JAX takes these variables for those of Slurm, and makes a port of the job's number."""
    job = next(number for number in range(2**12) if is_free(2**16 - 2**12 + number))
    both = []
    for name, value in {'JOB_ID': job, 'STEP_NODELIST': 'localhost', 'NTASKS': 2, 'LOCALID': 0}.items():
        monkeypatch.setenv(f'SLURM_{name}', str(value))
    flags = ('--distributed', '--config.num_steps=20', '--config.final_tasks=()')
    for i in range(2):
        monkeypatch.setenv('SLURM_PROCID', str(i))
        more = (f'--data_dir={tmp_path / "none"}',) if is_refused and i == 1 else ()
        both.append(start(tmp_path / str(i), *flags, *more))
    if is_refused:
        check_end(both[1], f'error: {tmp_path / "none"}: no such folder')
        check_end(both[0], f'error: process 1 stopped: {tmp_path / "none"}: no such folder')
    else:
        assert 'done' in finish(*both)[0]
        assert not (tmp_path / '1').exists()


def is_free(port):
    with socket.socket() as probe:
        return probe.connect_ex(('localhost', port)) != 0


BUSY = """
import os, sys, time
from nerf.host import processes
with processes.joined(False, sys.argv[1], 2, int(sys.argv[2]), 60):
    processes.any_of(False)
    if processes.is_first():
        time.sleep(1)
        os.kill(os.getpid(), 9)
    while True:
        sum(range(1000))
"""


def test_a_busy_process_is_told_of_the_end_of_process_0_before_jax_dumps(join):
    address = join[0][0].partition('=')[2]
    for _ in range(3):
        both = [start_python('-c', BUSY, address, str(i)) for i in range(2)]
        output = both[1].communicate(timeout=60)[0]
        both[0].communicate()
        check_output(both[1], output, 'error: process 0 is gone (killed, crashed or cut off)')
        assert 'coordination' not in output


READ = """
import sys, jax, numpy as np
from nerf.host import processes
with processes.joined(False, sys.argv[1], 2, int(sys.argv[2]), 60):
    first = processes.is_first()
    assert processes.gather_texts('x' * jax.process_index()) == ['', 'x']
    assert processes.gather_texts('ä' if first else '') == ['ä', '']
    assert processes.of_first([3, 'a'] if first else [4]) == [3, 'a']
    tree = {
        'a': np.array([-0.0, np.nan, 1e-45, 1.1], np.float32),
        'b': np.array(2**40 + 1),
        'c': np.array([[True], [False]]),
        'd': np.zeros((0, 3), np.float16),
    }
    template = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype), tree)
    assert processes.read_by_first(lambda: None if first else tree, template) is None

    def read():
        assert first
        return tree

    found = processes.read_by_first(read, template)
    for name, leaf in tree.items():
        assert (found[name].shape, found[name].dtype, found[name].tobytes()) == (leaf.shape, leaf.dtype, leaf.tobytes()), name
    if sys.argv[3:] and not first:
        raise KeyError('a mistake in the code')
"""


def test_what_process_0_reads_reaches_the_other_bit_for_bit(join):
    address = join[0][0].partition('=')[2]
    finish(*(start_python('-c', READ, address, str(i)) for i in range(2)))


def test_an_unexpected_error_ends_all(join):
    address = join[0][0].partition('=')[2]
    both = [start_python('-c', READ, address, str(i), 'fail') for i in range(2)]
    check_end(both[0], 'error: process 1 stopped: KeyError')
    output = both[1].communicate()[0]
    assert both[1].returncode == 1
    assert "KeyError: 'a mistake in the code'" in output
