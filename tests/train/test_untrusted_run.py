"""A run's folder that is damaged or someone else's: one sentence, or the same as before; nothing outside of it."""

import contextlib
import json
import os

import numpy as np
import pytest

from configs import tiny
from nerf.config import resolve
from nerf.data import procedural
from nerf.errors import UserError
from nerf.host.untrusted import UnreadableError, checksum
from nerf.train import checkpoints as storage
from nerf.train import run_folder
from nerf.train.checkpoints import Checkpoints
from nerf.train.run_file import identity_of
from nerf.train.saving import CheckpointWriter


@pytest.fixture(scope='module')
def run():
    return run_folder.Run(resolve(tiny.get_config()), None, 'abc', procedural.load(8))


@pytest.fixture
def folder(tmp_path, run):
    run_folder.save_run(str(tmp_path), run)
    return tmp_path


def expect_sentence(call, *words):
    with pytest.raises(UserError) as error:
        call()
    message = str(error.value)
    assert message.isprintable()
    assert len(message) < 700
    assert all(word in message for word in words), message


def forge(folder, change):
    """Change run.json, with a checksum that fits."""
    path = folder / 'run.json'
    content = json.loads(path.read_text())
    content.pop('sha256', None)
    content = change(content) or content
    path.write_text(json.dumps({**content, 'sha256': checksum(content)}))


def test_no_flipped_bit_of_run_json_is_believed(folder, run):
    path = folder / 'run.json'
    whole, rng, refused = path.read_bytes(), np.random.default_rng(11), 0
    for place in rng.integers(8 * len(whole), size=250):
        data = bytearray(whole)
        data[place // 8] ^= 1 << place % 8
        path.write_bytes(data)
        try:
            found = run_folder.load_run(str(folder))
        except UserError:
            refused += 1
        else:  # white space, or a digit that makes no difference
            assert found.config.to_dict() == run.config.to_dict()
            assert (found.digest, found.data_dir) == (run.digest, run.data_dir)
    assert refused > 150


def test_a_run_without_a_checksum_is_changed(folder):
    content = json.loads((folder / 'run.json').read_text())
    del content['sha256']
    (folder / 'run.json').write_text(json.dumps(content))
    expect_sentence(lambda: run_folder.load_run(str(folder)), 'run.json', 'changed')


def put(dotted, value):
    *sections, name = dotted.split('.')

    def change(content):
        node = content
        for section in sections:
            node = node[section]
        node[name] = value

    return change


def without(dotted):
    def change(content):
        put(dotted, None)(content)
        *sections, name = dotted.split('.')
        for section in sections:
            content = content[section]
        del content[name]

    return change


FORGED = {
    **{f'config {value!r}': put('config', value) for value in (None, [], 'x', {}, 3, {'a.b': 1})},
    **{f'model {value!r}': put('config.model', value) for value in (None, [], 'x', {}, 3)},
    **{f'{name} gone': without(f'config.{name}') for name in ('seed', 'data.width', 'model.depth', 'optimizer')},
    'digest gone': without('digest'),
    'data_dir number': put('data_dir', 3),
    'data_dir NUL': put('data_dir', 'a\0b'),
    'format text': put('format', '3'),
    'format true': put('format', True),
    'cameras null': put('cameras', None),
    'seed text': put('config.seed', 'a'),
    'seed true': put('config.seed', True),
    'num_steps text': put('config.num_steps', 'x'),
    'num_steps long': put('config.num_steps', 10**400),
    'num_steps 1.5': put('config.num_steps', 1.5),
    'optimizer null': put('config.optimizer', None),
    'rate infinite': put('config.optimizer.learning_rate', float('inf')),
    'rate nan': put('config.optimizer.learning_rate', float('nan')),
    'rate long': put('config.optimizer.learning_rate', 10**400),
    'losses list': put('config.losses', ['mse']),
    'losses text': put('config.losses', {'mse': 'x'}),
    'losses unknown': put('config.losses', {'no such': 1.0}),
    'photos': put('config.photos', {'exposure': 3}),
    'background': put('config.data.background', ['white']),
    'background unknown': put('config.data.background', 'pink'),
    'scene_type': put('config.scene_type', 'cube'),
    'model_name': put('config.model_name', 'x' * 10**5),
    'model_name list': put('config.model_name', []),
    'model extra': put('config.model.parent', 'x'),
    'depth': put('config.model.depth', 2**23),
    'degree': put('config.model.position_degree', 10**6),
    'keep_steps': put('config.keep_steps', [[1], {}]),
    'final_tasks': put('config.final_tasks', [None]),
    'video': put('config.video', {'num_frames': []}),
}


@pytest.mark.parametrize('name', FORGED)
def test_forged_runs_end_in_a_sentence(folder, name):
    forge(folder, FORGED[name])
    expect_sentence(lambda: run_folder.load(str(folder)), str(folder))
    forge(folder, lambda content: content)
    with pytest.raises(UserError) as error:
        run_folder.load(str(folder))
    assert 'no checkpoint yet' not in str(error.value)


@pytest.mark.parametrize(
    'text', ['[' * 200_000, '{"config":' * 200_000, '{"format": ' + '9' * 5000 + '}', 'null', '\ud800', '']
)
def test_a_run_json_that_is_none_ends_in_a_sentence(folder, text):
    (folder / 'run.json').write_bytes(text.encode(errors='surrogatepass'))
    expect_sentence(lambda: run_folder.load_run(str(folder)), 'run.json')


def test_entries_of_the_users_own_config_are_kept(folder):
    forge(folder, put('config.note', {'a': [1, 'x', None]}))
    assert run_folder.load_run(str(folder)).config.note.a == (1, 'x', None)


def change_cameras(folder, **changes):
    with np.load(folder / 'cameras.npz') as stored:
        arrays = {**stored, **changes}
    np.savez(folder / 'cameras.npz', **{name: each for name, each in arrays.items() if each is not None})
    with contextlib.suppress(UserError, UnreadableError):
        scene = run_folder.read_cameras(folder / 'cameras.npz')
        forge(folder, lambda content: {**content, 'cameras': [run_folder.checksum_of_cameras(scene)]})


def names_with(name, number=-1):
    def change(names):
        changed = [str(each) for each in names]
        changed[number] = name
        return np.array(changed)

    return change


CAMERAS = {
    **{
        f'name {name!r}': {'names': names_with(name)}
        for name in ('test_../../../PWNED', 'test_/tmp/PWNED', 'test_..', 'test_.ssh', '', 'test_a\nb', 'test_r\\x', 'test_R_0')
    },
    'long name': {'names': names_with('test_' + 'x' * 201)},
    'very long name': {'names': names_with('test_' + 'x' * 10_000)},
    'fewer names': {'names': lambda names: names[:-1]},
    'no names': {'names': lambda names: names[:0]},
    'numbers': {'names': lambda names: np.arange(len(names))},
    'objects': {'names': lambda names: np.array([{}] * len(names), object)},
    'split': {'split': names_with('../test')},
    'nan': {'camera_to_world': lambda poses: np.full_like(poses, np.nan)},
    'infinite': {'camera_to_world': lambda poses: poses + np.float32(np.inf)},
    'no rotation': {'camera_to_world': lambda poses: 2 * poses},
    'wide': {'width': lambda width: np.full_like(width, 10**9)},
    'large': {'width': lambda width: np.full_like(width, 60_000), 'height': lambda height: np.full_like(height, 60_000)},
    'turned': {'width': lambda width: -width},
    'no height': {'height': lambda height: 0 * height},
    'wide in bytes': {'width': lambda width: width.astype(np.int64)},
    'focal': {'camera_to_pixel': lambda lens: 0 * lens},
    'skew below': {'camera_to_pixel': lambda lens: lens + np.float32(1)},
    'near': {'near': lambda near: near + np.float32(1e3)},
    'far': {'far': lambda far: far * np.float32(np.inf)},
    'half a lens': {'lens_is_fisheye': lambda _: np.zeros(26, np.int32)},
    'ndc': {'ndc': lambda _: np.zeros((26, 2), np.float32)},
    'ndc shape': {'ndc': lambda _: np.ones((3,), np.float32)},
    'missing': {'far': lambda _: None},
    'scalar': {'far': lambda far: far[0]},
}


@pytest.mark.parametrize('name', CAMERAS)
def test_forged_cameras_end_in_a_sentence(folder, name):
    with np.load(folder / 'cameras.npz') as stored:
        changes = {each: change(dict(stored).get(each)) for each, change in CAMERAS[name].items()}
    change_cameras(folder, **changes)
    expect_sentence(lambda: run_folder.load_run(str(folder)), 'cameras.npz')


def test_a_lens_beyond_numbers_is_refused(folder, run):
    count = len(run.scene.names)
    good = {'lens_coefficients': np.zeros((count, 8), np.float32), 'lens_is_fisheye': np.zeros(count, np.int32)}
    change_cameras(folder, **good)
    run_folder.load_run(str(folder))
    for change in (
        {'lens_coefficients': np.full((count, 8), 1e30, np.float32)},
        {'lens_is_fisheye': np.full(count, 7, np.int32)},
    ):
        change_cameras(folder, **{**good, **change})
        expect_sentence(lambda: run_folder.load_run(str(folder)), 'cameras.npz')


def test_cameras_of_another_run_are_refused(folder, run, tmp_path_factory):
    other = tmp_path_factory.mktemp('other')
    scene = procedural.load(8)
    moved = scene.cameras.replace(far=scene.cameras.far + np.float32(1))
    run_folder.write_cameras(other / 'cameras.npz', run_folder.Scene(scene.names, scene.split, scene.pixels, moved))
    (folder / 'cameras.npz').write_bytes((other / 'cameras.npz').read_bytes())
    expect_sentence(lambda: run_folder.load_run(str(folder)), 'cameras.npz', 'not the one')


@pytest.mark.parametrize('last', range(4))
def test_a_run_killed_while_its_test_views_change_is_no_wreck(folder, run, monkeypatch, last):
    (folder / 'checkpoints/step_00000003').mkdir(parents=True)
    scene = run.scene
    kept = np.arange(len(scene.names) - 3)
    fewer = run_folder.Scene(scene.names[:-3], scene.split[:-3], scene.pixels, scene.cameras.at(kept))
    calls = iter(range(10))

    def write(path, content):
        if next(calls) == last:
            raise KeyboardInterrupt
        path.write_bytes(content)

    monkeypatch.setattr('nerf.train.run_file.write_atomically', write)
    monkeypatch.setattr('nerf.data.stored_cameras.write_atomically', write)
    try:
        run_folder.save_run(str(folder), run_folder.Run(run.config, None, 'abc', fewer))
    except KeyboardInterrupt:
        assert last < 3
    assert len(run_folder.load_run(str(folder)).scene.names) in (len(scene.names), len(scene.names) - 3)


@pytest.mark.parametrize('name', ['run.json', 'cameras.npz'])
@pytest.mark.parametrize('kind', ['pipe', 'device', 'folder', 'loop', 'empty', 'gone'])
def test_files_that_are_none_end_in_a_sentence(folder, name, kind):
    path = folder / name
    path.unlink()
    if kind == 'pipe':
        os.mkfifo(path)
    elif kind == 'folder':
        path.mkdir()
    elif kind == 'empty':
        path.touch()
    elif kind != 'gone':
        path.symlink_to('/dev/zero' if kind == 'device' else path)
    expect_sentence(lambda: run_folder.load_run(str(folder)), name)


@pytest.mark.parametrize('name', ['a\nb', 'a\n', 'a\x1b[2J', os.fsdecode(b'x\xff'), 'a\u2028b'])
def test_a_folder_that_cannot_be_printed_is_refused(tmp_path, name):
    for call in (run_folder.prepare, run_folder.load_run):
        expect_sentence(lambda call=call: call(f'{tmp_path}/{name}'), '--model_dir')
    assert not list(tmp_path.iterdir())
    run_folder.prepare(f'{tmp_path}/é ü 写')


# Checkpoints


TEMPLATE = {'step': np.zeros((), np.int32), 'params': {'kernel': np.zeros((2, 3), np.float32)}}


def state_of(step):
    return {'step': np.full((), step, np.int32), 'params': {'kernel': np.full((2, 3), step, np.float32)}}


def test_what_decides_the_parameters_identifies_a_run(run):
    one = identity_of(run.config, 'abc')
    changed = tiny.get_config()
    changed.num_steps, changed.log_every, changed.final_tasks = 80, 5, ()
    assert identity_of(resolve(changed), 'abc') == one
    assert identity_of(run.config, 'abd') != one
    changed.seed = 1
    assert identity_of(resolve(changed), 'abc') != one


def test_a_checkpoint_of_another_run_is_refused_by_name(tmp_path):
    own, other = (CheckpointWriter(str(tmp_path / name / 'checkpoints'), run=name) for name in ('own', 'other'))
    own.save(state_of(20))
    other.save(state_of(40))
    os.rename(other.path(40), own.path(40))
    for step in (None, 40):
        expect_sentence(lambda step=step: own.restore(TEMPLATE, step), 'step_00000040', 'of another run', 'remove it')
    assert own.restore(TEMPLATE, 20)['params']['kernel'][0, 0] == 20
    assert Checkpoints(own.folder).restore(TEMPLATE)['step'] == 40  # nobody has said which run


def test_checkpoints_without_the_run_that_made_them_are_not_gone_on_with(folder, run):
    CheckpointWriter(str(folder / 'checkpoints')).save(state_of(20))
    (folder / 'run.json').unlink()
    for call in (lambda: run_folder.save_run(str(folder), run), lambda: run_folder.load(str(folder))):
        expect_sentence(call, 'found no run.json although there are checkpoints', 'restore it from a copy')
    assert not (folder / 'run.json').exists()


def forge_manifest(path, change):
    manifest = json.loads(path.read_text())
    del manifest['sha256']
    manifest = change(manifest) or manifest
    path.write_text(json.dumps({**manifest, 'sha256': checksum(manifest)}))


NAME, SHA = 'ckpt-1.flax', 'e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855'
MANIFESTS = {
    **{f'step {value!r}': put('step', value) for value in ('40', 40.0, None, [40], float('inf'), True, -40, 10**30)},
    'step gone': without('step'),
    **{f'files {value!r}': put('files', value) for value in (None, [], 3, {}, 'x', [[NAME, 1, SHA]])},
    **{
        f'facts {value!r}': put('files', {NAME: value})
        for value in (None, 3, [], [1, SHA, 0], ['1', SHA], [1.0, SHA], [-1, SHA])
    },
    **{
        f'name {name!a}': put('files', {name: [0, SHA]})
        for name in ('/dev/zero', '../x', 'a\0b', '\ud800', '', '.', 'ckpt-1.\n')
    },
    'device too': lambda manifest: manifest['files'].update({'/dev/zero': [0, SHA]}),
    'large': lambda manifest: manifest['files'].update({NAME: [2**60, SHA]}),
    **{f'leaves {value!r}': put('leaves', value) for value in (None, [], 3, {'a': 3}, {'a': None})},
    'leaves gone': without('leaves'),
    'run': put('run', 3),
}


@pytest.mark.parametrize('name', MANIFESTS)
def test_a_forged_manifest_is_skipped_as_damaged(tmp_path, name, caplog):
    writer = CheckpointWriter(str(tmp_path))
    for step in (20, 40):
        writer.save(state_of(step))
    forge_manifest(writer.path(40) / storage.MANIFEST, MANIFESTS[name])
    assert writer.restore(TEMPLATE)['step'] == 20
    (record,) = caplog.records
    assert 'damaged checkpoint skipped' in record.getMessage()
    assert record.getMessage().isprintable()
    if name != 'large':
        assert writer.steps() == [20]
    writer.save(state_of(40))  # training goes on
    assert writer.restore(TEMPLATE)['step'] == 40


@pytest.mark.parametrize('name', [storage.MANIFEST, storage.STATE, ''])
@pytest.mark.parametrize('target', ['pipe', '/dev/zero', 'loop'])
def test_a_checkpoint_is_never_waited_for(tmp_path, name, target):
    writer = CheckpointWriter(str(tmp_path))
    writer.save(state_of(20))
    path = tmp_path / 'step_00000040' / name if name else tmp_path / 'step_00000040'
    if name:
        writer.save(state_of(40))
        path.unlink()
    os.mkfifo(path) if target == 'pipe' else path.symlink_to(target if target != 'loop' else path)
    assert writer.restore(TEMPLATE)['step'] == 20
