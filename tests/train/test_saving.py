"""What is saved comes back bit for bit; what is damaged, foreign or half written never does."""

import hashlib
import json
import os
import random
import resource
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import serialization, struct

import nerf
from nerf.errors import UserError
from nerf.train.saving import CheckpointWriter


@struct.dataclass
class State:
    step: jax.Array
    params: dict
    opt_state: optax.OptState


OPTIMISER = optax.chain(optax.clip_by_global_norm(1.0), optax.adam(1e-3))


def make_state(step: int, value: float | None = None, width: int = 3) -> State:
    """A state whose leaves all hold `value` (the step, if None)."""
    value = float(step if value is None else value)
    params = {
        'dense': {'kernel': jnp.full((2, width), value), 'bias': jnp.full((width,), value, jnp.bfloat16)},
        'scale': jnp.full((), value),
    }
    opt_state = jax.tree.map(lambda x: jnp.full_like(x, value), OPTIMISER.init(params))
    return State(jnp.asarray(step, jnp.int32), params, opt_state)


def same_bits(a: State, b: State) -> bool:
    a, b = jax.device_get((a, b))
    if jax.tree.structure(a) != jax.tree.structure(b):
        return False
    leaves = zip(jax.tree.leaves(a), jax.tree.leaves(b), strict=True)
    return all(x.dtype == y.dtype and x.shape == y.shape and x.tobytes() == y.tobytes() for x, y in leaves)


def saved(folder: Path, *steps: int) -> CheckpointWriter:
    store = CheckpointWriter(str(folder), keep=10)
    for step in steps:
        store.save(make_state(step))
    return store


def flip_bit(path: Path, where: float = 0.5) -> None:
    data = bytearray(path.read_bytes())
    data[int(len(data) * where)] ^= 1
    path.write_bytes(data)


def truncate(path: Path) -> None:
    os.truncate(path, path.stat().st_size // 2)


def empty(path: Path) -> None:
    path.write_bytes(b'')


def content(folder: Path, step: int) -> Path:
    return folder / f'step_{step:08d}' / 'ckpt-1.flax'


def test_roundtrip_is_bit_exact(tmp_path):
    key = jax.random.key(0)
    params = {
        'z': {'kernel': jax.random.normal(key, (5, 7)), 'odd': np.array([np.nan, np.inf, -0.0, 1e-45], np.float32)},
        'a': jax.random.normal(key, (3,), jnp.bfloat16),
        'bytes': np.arange(256, dtype=np.uint8).reshape(16, 16),
        'nothing': np.zeros((0, 4), np.float32),
        'absent': None,
    }
    state = State(jnp.asarray(123456789, jnp.int32), params, OPTIMISER.init({'a': params['a']}))
    folder = CheckpointWriter(str(tmp_path)).save(state)
    assert folder == str(tmp_path / 'step_123456789')
    template = jax.eval_shape(lambda: state)
    restored = CheckpointWriter(str(tmp_path)).restore(template)
    assert same_bits(restored, state)
    assert isinstance(restored.step, np.ndarray)
    assert restored.step.shape == ()
    assert restored.step.dtype == np.int32
    assert type(restored.opt_state[1][0]) is optax.ScaleByAdamState
    assert restored.params['absent'] is None
    assert restored.params['z']['kernel'].flags.writeable


def test_nothing_saved_is_none(tmp_path):
    store = CheckpointWriter(str(tmp_path / 'later'))
    assert store.restore(make_state(0)) is None
    assert store.steps() == []
    assert not (tmp_path / 'later').exists()


@pytest.mark.parametrize('name', ['ckpt-1.flax', 'ckpt-1.index', 'manifest.json'])
@pytest.mark.parametrize('damage', [truncate, flip_bit, empty, Path.unlink])
def test_damaged_newest_falls_back_with_a_warning(tmp_path, caplog, damage, name):
    store = saved(tmp_path, 1, 2, 3)
    damage(tmp_path / 'step_00000003' / name)
    restored = store.restore(make_state(0))
    assert same_bits(restored, make_state(2))
    (warning,) = [record for record in caplog.records if record.name == 'nerf']
    assert warning.levelname == 'WARNING'
    assert str(tmp_path / 'step_00000003' / name) in warning.getMessage()


def test_the_warning_tells_the_reason(tmp_path, caplog):
    store = saved(tmp_path, 1, 2, 3, 4)
    size = content(tmp_path, 4).stat().st_size
    truncate(content(tmp_path, 4))
    flip_bit(content(tmp_path, 3))
    content(tmp_path, 2).unlink()
    assert int(store.restore(make_state(0)).step) == 1
    first, second, third = (record.getMessage() for record in caplog.records)
    assert f'found {size // 2} of {size} bytes' in first
    assert 'changed bytes' in second
    assert 'No such file' in third


@pytest.mark.parametrize('where', [i / 40 for i in range(40)])
def test_no_flipped_bit_of_a_manifest_is_believed(tmp_path_factory, where):
    folder = tmp_path_factory.getbasetemp() / 'flips'
    store = CheckpointWriter(str(folder))
    if not folder.exists():
        saved(folder, 1, 2)
    path = folder / 'step_00000002' / 'manifest.json'
    before = path.read_bytes()
    flip_bit(path, where)
    restored = store.restore(make_state(0))
    path.write_bytes(before)
    assert same_bits(restored, make_state(1))
    assert same_bits(store.restore(make_state(0)), make_state(2))


def test_a_renamed_folder_is_not_another_step(tmp_path):
    store = saved(tmp_path, 1, 2)
    shutil.copytree(tmp_path / 'step_00000001', tmp_path / 'step_00000009')
    assert store.steps() == [1, 2]
    assert int(store.restore(make_state(0)).step) == 2


@pytest.mark.parametrize('data', [b'\x93no state', serialization.to_bytes(make_state(2, width=4))])
def test_contents_that_differ_from_the_manifest_are_damage(tmp_path, data):
    """A manifest made to fit a file by hand still has to describe what the file holds."""
    store = saved(tmp_path, 1, 2)
    path = tmp_path / 'step_00000002' / 'manifest.json'
    content(tmp_path, 2).write_bytes(data)
    manifest = json.loads(path.read_text())
    manifest.pop('sha256')
    manifest['files']['ckpt-1.flax'] = [len(data), hashlib.sha256(data).hexdigest()]
    text = json.dumps(manifest, sort_keys=True).encode()
    path.write_text(json.dumps({**manifest, 'sha256': hashlib.sha256(text).hexdigest()}))
    assert store.steps() == [1, 2]
    assert int(store.restore(make_state(0)).step) == 1


def test_all_damaged_is_refused(tmp_path):
    store = saved(tmp_path, 1, 2)
    flip_bit(content(tmp_path, 1))
    truncate(content(tmp_path, 2))
    with pytest.raises(UserError, match='no other to use'):
        store.restore(make_state(0))


def without_layer(state: State) -> State:
    return state.replace(params={'scale': state.params['scale']})


def with_layer(state: State) -> State:
    return state.replace(params={**state.params, 'extra': {'bias': jnp.zeros(4)}})


def with_dtype(state: State) -> State:
    return state.replace(params={**state.params, 'scale': jnp.zeros((), jnp.bfloat16)})


def with_shorter_chain(state: State) -> State:
    return state.replace(opt_state=state.opt_state[1:])


def with_width(state: State) -> State:
    return make_state(int(state.step), width=4)


@pytest.mark.parametrize(
    ('change', 'sentence'),
    [
        (with_width, r'params/dense/bias bfloat16 \(3,\), expected bfloat16 \(4,\) \(and 5 more'),
        (without_layer, r'params/dense/bias bfloat16 \(3,\), expected none'),
        (with_layer, r'params/extra/bias missing, expected float32 \(4,\)'),
        (with_dtype, r'params/scale float32 \(\), expected bfloat16 \(\):'),
        (with_shorter_chain, r'opt_state/0 empty, expected none'),
    ],
)
def test_another_model_is_refused_by_name_and_never_skipped(tmp_path, caplog, change, sentence):
    """The older checkpoint would fit: it must not be taken."""
    store = CheckpointWriter(str(tmp_path))
    store.save(change(make_state(1)))
    store.save(make_state(2))
    with pytest.raises(UserError, match=rf'step_00000002: found {sentence}'):
        store.restore(change(make_state(0)))
    with pytest.raises(UserError, match=sentence):
        store.restore(change(make_state(0)), step=2)
    assert not caplog.records


@pytest.mark.parametrize('damage', [Path.unlink, truncate, lambda path: path.write_bytes(b'\xff{')])
def test_clus_own_list_may_be_lost(tmp_path, damage):
    store = saved(tmp_path, 1, 2)
    for path in tmp_path.glob('step_*/checkpoint'):
        damage(path)
    assert same_bits(store.restore(make_state(0)), make_state(2))
    store.save(make_state(3))
    assert store.steps() == [1, 2, 3]
    assert same_bits(store.restore(make_state(0), step=1), make_state(1))


def test_files_without_a_manifest_are_never_started_over(tmp_path):
    for path in saved(tmp_path / 'other', 1).path(1).glob('ckpt-*'):
        shutil.copy(path, tmp_path)
    before = {path: path.read_bytes() for path in tmp_path.glob('ckpt-*')}
    for attempt in (CheckpointWriter(str(tmp_path)).restore, CheckpointWriter(str(tmp_path)).save):
        with pytest.raises(UserError, match=r'ckpt-1\.data.*without manifest\.json'):
            attempt(make_state(1))
    assert {path: path.read_bytes() for path in tmp_path.glob('ckpt-*')} == before


def test_retention(tmp_path):
    store = CheckpointWriter(str(tmp_path), keep=2, keep_steps=(2, 7))
    kept = []
    for step in range(1, 10):
        store.save(make_state(step))
        kept.append(store.steps())
    assert kept[:4] == [[1], [1, 2], [2, 3], [2, 3, 4]]
    assert kept[-1] == [2, 7, 8, 9]
    assert sorted(os.listdir(tmp_path)) == [f'step_{step:08d}' for step in kept[-1]]
    assert same_bits(store.restore(make_state(0), step=2), make_state(2))
    with pytest.raises(UserError, match='expected 1 or more'):
        CheckpointWriter(str(tmp_path), keep=0)


def test_one_step_by_number(tmp_path):
    store = saved(tmp_path, 5, 10)
    assert same_bits(store.restore(make_state(0), step=5), make_state(5))
    with pytest.raises(UserError, match='no checkpoint of step 7, expected one of those saved: 5, 10'):
        store.restore(make_state(0), step=7)
    with pytest.raises(UserError, match='saved: none'):
        CheckpointWriter(str(tmp_path / 'nothing')).restore(make_state(0), step=7)
    flip_bit(content(tmp_path, 10))
    with pytest.raises(UserError, match=r'step_00000010.*changed bytes'):
        store.restore(make_state(0), step=10)


def test_the_same_state_twice_changes_nothing(tmp_path):
    store = saved(tmp_path, 1)
    before = content(tmp_path, 1).stat()
    state = make_state(1)
    store.save(state.replace(params=dict(reversed(state.params.items()))))
    assert content(tmp_path, 1).stat().st_ino == before.st_ino
    assert os.listdir(tmp_path) == ['step_00000001']


@pytest.mark.parametrize('step', [1, 2])
def test_an_intact_state_is_never_overwritten_or_left_in_the_lead(tmp_path, step):
    store = saved(tmp_path, 1, 2)
    with pytest.raises(UserError, match=r'found another state while saving step'):
        store.save(make_state(step, value=0.5))
    assert [same_bits(store.restore(make_state(0), n), make_state(n)) for n in (1, 2)] == [True, True]
    assert sorted(os.listdir(tmp_path)) == ['step_00000001', 'step_00000002']


def test_training_goes_on_after_a_damaged_newest(tmp_path):
    """Resumed from step 1, the run passes the damaged step 3; keeping only one must not keep the damaged one."""
    saved(tmp_path, 1, 3)
    flip_bit(content(tmp_path, 3))
    store = CheckpointWriter(str(tmp_path), keep=1)
    store.save(make_state(2))
    assert same_bits(store.restore(make_state(0)), make_state(2))
    store.save(make_state(3))
    assert same_bits(store.restore(make_state(0)), make_state(3))
    assert sorted(os.listdir(tmp_path)) == ['damaged_00000003', 'step_00000003']


def test_a_replicated_state_is_refused(tmp_path):
    with pytest.raises(ValueError, match=r'step of shape \(\), got \(4,\)'):
        CheckpointWriter(str(tmp_path)).save(jax.tree.map(lambda x: jnp.stack([x] * 4), make_state(1)))


def test_folder_that_cannot_be_written(tmp_path):
    (tmp_path / 'file').write_text('in the way')
    with pytest.raises(UserError, match=r'file: cannot be made \(File exists'):
        CheckpointWriter(str(tmp_path / 'file' / 'checkpoints')).save(make_state(1))


def test_full_disk_leaves_the_last_state_and_no_traceback(tmp_path, caplog):
    store = saved(tmp_path, 1)
    limits = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (10_000, limits[1]))
    try:
        with pytest.raises(UserError, match='step 2 could not be saved') as error:
            store.save(make_state(2, width=10_000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, limits)
    assert '\n' not in str(error.value)
    assert not caplog.records
    assert os.listdir(tmp_path) == ['step_00000001']
    assert same_bits(store.restore(make_state(0)), make_state(1))


class Killed(BaseException):
    """Stands for SIGKILL: after it nothing of the process touches the disk."""


def test_killed_between_any_two_operations(tmp_path, monkeypatch, caplog):
    """Every rename, sync and removal of a save is the last thing that happens, once; nothing looks damaged after it."""
    for last in range(100):
        folder = tmp_path / str(last)
        saved(folder, 1, 2)
        calls = iter(range(100))

        def until_killed(operation, calls=calls, last=last):
            def operate(*args, **kwargs):
                if next(calls) >= last:
                    raise Killed
                return operation(*args, **kwargs)

            return operate

        killed = False
        with monkeypatch.context() as patch:
            for module, name in ((os, 'rename'), (os, 'fsync'), (os, 'mkdir'), (os, 'unlink'), (os, 'rmdir')):
                patch.setattr(module, name, until_killed(getattr(module, name)))
            try:
                CheckpointWriter(str(folder), keep=1).save(make_state(3))
            except Killed:
                killed = True
        restored = CheckpointWriter(str(folder)).restore(make_state(0))
        assert same_bits(restored, make_state(int(restored.step)))
        assert int(restored.step) in (2, 3)
        CheckpointWriter(str(folder), keep=1).save(make_state(4))
        assert os.listdir(folder) == ['step_00000004']
        if not killed:
            break
    assert last > 8
    assert not killed
    assert not caplog.records


SAVER = """
import os, sys, warnings
import numpy as np
from nerf.train.saving import CheckpointWriter

folder = sys.argv[1]
for _ in sys.stdin:
    # Forked before TensorFlow has computed anything, to import it only once.
    warnings.simplefilter('ignore')
    pid = os.fork()
    if not pid:
        store = CheckpointWriter(folder, keep=2)
        state = {'step': np.zeros((), np.int32), 'params': {'a': np.zeros(200_000, np.float32), 'b': np.zeros((3, 5))}}
        start = store.restore(state)
        for step in range(1 if start is None else int(start['step']) + 1, 1_000_000):
            state['step'] = np.asarray(step, np.int32)
            state['params'] = {key: np.full_like(x, step) for key, x in state['params'].items()}
            store.save(state)
        os._exit(0)
    print(pid, flush=True)
    os.waitpid(pid, 0)
    print('killed', flush=True)
"""


def test_sigkill_at_random_moments(tmp_path, caplog):
    folder = tmp_path / 'run'
    environment = {**os.environ, 'PYTHONPATH': str(Path(nerf.__file__).parents[1])}
    template = {'step': np.zeros((), np.int32), 'params': {'a': np.zeros(200_000, np.float32), 'b': np.zeros((3, 5))}}
    command = [sys.executable, '-c', SAVER, str(folder)]
    store, moments, newest, unfinished = CheckpointWriter(str(folder)), random.Random(0), 0, 0
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment) as saver:
        for _ in range(5):
            saver.stdin.write('start\n')
            saver.stdin.flush()
            pid = int(saver.stdout.readline())
            deadline = time.monotonic() + 60
            while max(store.steps(), default=0) <= newest and time.monotonic() < deadline:
                time.sleep(0.001)
            time.sleep(moments.uniform(0, 0.2))
            os.kill(pid, signal.SIGKILL)
            assert saver.stdout.readline() == 'killed\n'
            restored = store.restore(template)
            assert int(restored['step']) > newest
            newest = int(restored['step'])
            assert all((leaf == newest).all() for leaf in jax.tree.leaves(restored))
            unfinished += any(folder.glob('tmp_*'))
        saver.stdin.close()
    assert unfinished
    assert not caplog.records
