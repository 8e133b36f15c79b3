import io
import pickle
import zipfile

import numpy as np
import pytest

from nerf.data.formats import tiny_nerf
from nerf.data.options import DataOptions
from nerf.errors import UserError


def arrays(count, height=4, width=6):
    rng = np.random.default_rng(0)
    poses = np.tile(np.eye(4, dtype=np.float32), (count, 1, 1))
    poses[:, 0, 3] = np.arange(count)
    return {'images': rng.random((count, height, width, 3), np.float32), 'poses': poses, 'focal': np.array(7.5)}


@pytest.fixture
def save(tmp_path):
    def write(**content):
        np.savez(tmp_path / tiny_nerf.FILE, **content)
        return str(tmp_path)

    return write


def test_first_hundred_train_and_the_rest_test(save, tmp_path):
    content = arrays(103)
    scene = tiny_nerf.load(save(**content), DataOptions())
    assert scene.names[99:] == ('train_099', 'test_100', 'test_101', 'test_102')
    assert scene.split == ('train',) * 100 + ('test',) * 3
    np.testing.assert_array_equal(scene.image(101)[..., :3], np.rint(content['images'][101] * 255))
    assert (scene.pixels[:, 3] == 255).all()
    assert scene.cameras.camera_to_world[:, 0, 3].tolist() == list(range(103))
    np.testing.assert_allclose(scene.camera(5).camera_to_pixel, [[7.5, 0, 3], [0, 7.5, 2], [0, 0, 1]])
    assert (scene.camera(0).near, scene.camera(0).far) == (2, 6)
    by_file = tiny_nerf.load(str(tmp_path / tiny_nerf.FILE), DataOptions(test_every=2, near=1.0))
    assert by_file.names[100:] == ('test_100', 'test_102')
    np.testing.assert_array_equal(by_file.image(101), scene.image(102))
    assert by_file.cameras.camera_to_world[-2:, 0, 3].tolist() == [100, 102]
    assert (by_file.cameras.near == 1).all()


def test_few_images_test_on_every_eighth(save):
    folder = save(**arrays(20))
    assert [n for n in tiny_nerf.load(folder, DataOptions()).names if 'test' in n] == ['test_000', 'test_008', 'test_016']
    assert tiny_nerf.load(folder, DataOptions(test_every=15)).indices('test').tolist() == [0, 15]
    with pytest.raises(UserError, match='no training image'):
        tiny_nerf.load(folder, DataOptions(test_every=1))


def test_shrinking_averages_and_scales_the_lens(save):
    content = arrays(9, height=5, width=6)
    scene = tiny_nerf.load(save(**content), DataOptions(factor=2))  # 6 x 5 becomes 3 x round(2.5) = 3 x 2
    np.testing.assert_allclose(scene.camera(0).camera_to_pixel, [[3.75, 0, 1.5], [0, 3.0, 1], [0, 0, 1]])
    top = np.rint(content['images'][0] * 255)[:3].copy()
    top[2] /= 2
    expected = top.reshape(3, 3, 2, 3).mean(2).sum(0) / 2.5
    assert np.abs(scene.image(0)[0, :, :3] - expected).max() <= 0.5 + 1e-6


def changed(**fields):
    content = {**arrays(9), **fields}
    return {key: value for key, value in content.items() if value is not None}


BAD_POSE = np.tile(np.eye(4), (9, 1, 1))
BAD_POSE[3, 0, 0] = np.nan
MISTAKES = {
    'no focal': (changed(focal=None), "lacks the array 'focal'"),
    'focal of each': (changed(focal=np.ones(9)), r'focal of shape \(9,\)'),
    'focal negative': (changed(focal=np.array(-7.0)), 'focal lengths'),
    'alpha': (changed(images=np.zeros((9, 4, 6, 4), np.float32)), 'expected .count, height, width, 3'),
    'no images': (changed(images=np.zeros((0, 4, 6, 3), np.float32)), 'expected .count, height, width, 3'),
    'bytes': (changed(images=np.zeros((9, 4, 6, 3), np.uint8)), 'type uint8'),
    'too bright': (changed(images=np.full((9, 4, 6, 3), 255.0)), 'expected colours from 0 to 1'),
    'nan colour': (changed(images=np.full((9, 4, 6, 3), np.nan)), 'expected colours from 0 to 1'),
    'fewer poses': (changed(poses=np.zeros((8, 4, 4))), 'one for each image'),
    'nan pose': (changed(poses=BAD_POSE), 'not finite'),
    'objects': (changed(poses=np.array([object()], object)), 'pickled'),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_mistakes_name_the_file(save, mistake):
    content, sentence = MISTAKES[mistake]
    with pytest.raises(UserError, match=rf'tiny_nerf_data\.npz: .*{sentence}'):
        tiny_nerf.load(save(**content), DataOptions())


def test_pickle_missing_and_damaged_files(save, tmp_path):
    folder, file = save(**arrays(9)), tmp_path / tiny_nerf.FILE
    whole = file.read_bytes()
    damaged = bytearray(whole)
    damaged[1000] ^= 255
    for content, sentence in (
        (pickle.dumps(arrays(9)), 'pickled'),
        (whole[:500], 'not an npz'),
        (bytes(damaged), 'cannot be read'),
    ):
        file.write_bytes(content)
        with pytest.raises(UserError, match=sentence):
            tiny_nerf.load(folder, DataOptions())
    file.unlink()
    with pytest.raises(UserError, match='no such file'):
        tiny_nerf.load(folder, DataOptions())


def test_sizes_are_checked_before_memory_is_taken(tmp_path, monkeypatch):
    content = arrays(9)
    with zipfile.ZipFile(tmp_path / tiny_nerf.FILE, 'w') as archive:
        for name, array in content.items():
            buffer = io.BytesIO()
            shape = (10**6, 10**4, 10**4, 3) if name == 'images' else array.shape  # a header that promises too much
            np.lib.format.write_array_header_1_0(
                buffer, {'descr': np.lib.format.dtype_to_descr(array.dtype), 'fortran_order': False, 'shape': shape}
            )
            archive.writestr(f'{name}.npy', buffer.getvalue() + array.tobytes())
    monkeypatch.setattr(np, 'load', lambda *args, **kwargs: pytest.fail('read before the check'))
    with pytest.raises(UserError, match='does not fit the 2592 bytes'):
        tiny_nerf.load(str(tmp_path), DataOptions())
    np.savez_compressed(tmp_path / tiny_nerf.FILE, **content)
    monkeypatch.setattr(tiny_nerf, 'MAX_BYTES', 3000)
    with pytest.raises(UserError, match='holds more than'):
        tiny_nerf.load(str(tmp_path), DataOptions())


def test_a_device_is_not_read(tmp_path):
    (tmp_path / tiny_nerf.FILE).symlink_to('/dev/zero')
    with pytest.raises(UserError, match='is no file'):
        tiny_nerf.load(str(tmp_path), DataOptions())


def test_rotations_lose_their_scale(save):
    content = arrays(9)
    content['poses'][:, :3, :3] *= 3
    content['poses'] = content['poses'].astype(np.int64)
    scene = tiny_nerf.load(save(**content), DataOptions())
    np.testing.assert_allclose(scene.cameras.camera_to_world[:, :, :3], np.tile(np.eye(3), (9, 1, 1)), atol=1e-6)
    assert scene.cameras.camera_to_world[:, 0, 3].tolist() == list(range(9))
