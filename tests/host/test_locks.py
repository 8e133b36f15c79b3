import os
import subprocess
import sys

import pytest

from nerf.errors import UserError
from nerf.host.locks import FILE, lock_training

HOLD = """
import sys, time
from pathlib import Path
from nerf.host.locks import lock_training
with lock_training(Path(sys.argv[1])):
    print('held', flush=True)
    time.sleep(60)
"""


def test_the_second_training_is_told_who_trains_and_the_lock_dies_with_its_process(tmp_path):
    other = subprocess.Popen([sys.executable, '-c', HOLD, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert other.stdout.readline() == 'held\n'
    with pytest.raises(UserError, match=f'process {other.pid} trains there'), lock_training(tmp_path):
        raise AssertionError
    other.kill()
    other.wait()
    with lock_training(tmp_path):
        assert (tmp_path / FILE).read_text() == str(os.getpid())
    with lock_training(tmp_path):
        pass


def test_a_lock_that_is_a_link_is_refused(tmp_path):
    (tmp_path / 'victim').write_text('mine')
    (tmp_path / FILE).symlink_to(tmp_path / 'victim')
    with pytest.raises(UserError, match='cannot be written'), lock_training(tmp_path):
        raise AssertionError
    assert (tmp_path / 'victim').read_text() == 'mine'
