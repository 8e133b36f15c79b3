import json
import subprocess
import sys

import numpy as np
import pytest
from flax import struct

from nerf.errors import UserError
from nerf.train import checkpoints
from nerf.train.checkpoints import Checkpoints
from nerf.train.saving import CheckpointWriter


@struct.dataclass
class State:
    """A small state of a run."""

    step: np.ndarray
    params: dict


def make_state(step):
    return State(np.int32(step) + np.zeros((), np.int32), {'kernel': np.full((2, 3), step, np.float32)})


READ = """
import sys
for name in ('tensorflow', 'tensorflow_datasets', 'clu'):
    sys.modules[name] = None
import numpy as np
import nerf.train.run_folder
from nerf.train.checkpoints import Checkpoints
store = Checkpoints(sys.argv[1])
print(store.steps(), float(store.restore({'step': np.zeros((), np.int32), 'params': {'kernel': np.zeros((2, 3), np.float32)}})
      ['params']['kernel'].sum()))
"""


def test_states_are_read_where_tensorflow_and_clu_are_not_installed(tmp_path):
    writer = CheckpointWriter(str(tmp_path))
    for step in (3, 7):
        writer.save(make_state(step))
    command = [sys.executable, '-c', READ, str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == '[3, 7] 42.0\n'


def test_a_reader_takes_the_newest_or_the_step_that_it_is_given(tmp_path):
    writer = CheckpointWriter(str(tmp_path))
    for step in (3, 7):
        writer.save(make_state(step))
    store = Checkpoints(str(tmp_path))
    assert store.restore(make_state(0)).params['kernel'][0, 0] == 7
    assert store.restore(make_state(0), step=3).params['kernel'][0, 0] == 3
    with pytest.raises(UserError, match='found no checkpoint of step 5, expected one of those saved: 3, 7'):
        store.restore(make_state(0), step=5)


def test_a_message_cut_short_behind_a_true_checksum_is_damage(tmp_path):
    folder = CheckpointWriter(str(tmp_path)).save(make_state(3))
    path = tmp_path / folder.rsplit('/', 1)[1] / checkpoints.STATE
    path.write_bytes(path.read_bytes()[:-5])
    where = path.with_name(checkpoints.MANIFEST)
    manifest = json.loads(where.read_text())
    del manifest['sha256']
    manifest['files'][checkpoints.STATE] = [path.stat().st_size, checkpoints.sha256_of(path)]
    where.write_text(json.dumps({**manifest, 'sha256': checkpoints.checksum(manifest)}))
    with pytest.raises(UserError, match='expected an intact checkpoint'):
        Checkpoints(str(tmp_path)).restore(make_state(0))
