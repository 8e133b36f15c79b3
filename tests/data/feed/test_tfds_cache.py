import dataclasses
import os
import shutil
import tempfile

import jax
import numpy as np
import pytest

from nerf.data import formats
from nerf.data.feed import tfds_cache as builders
from nerf.data.feed.tfds_cache import cached_scene
from nerf.data.options import DataOptions
from nerf.data.poses import Frame
from nerf.errors import UserError
from nerf.ray.lenses import Lens


def assert_same(a, b):
    assert (a.names, a.split) == (b.names, b.split)
    np.testing.assert_array_equal(a.pixels, b.pixels, strict=True)
    assert (a.used is None) == (b.used is None)
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x, y, strict=True), a.cameras, b.cameras)


@pytest.fixture
def cache(tmp_path):
    folder = tmp_path / 'cache'
    folder.mkdir()
    return folder


@pytest.fixture
def loads(monkeypatch):
    """How often a scene was loaded from its source: the list grows."""
    calls = []

    def counting(*args):
        calls.append(args)
        return formats.load_scene(*args)

    monkeypatch.setattr(builders, 'load_scene', counting)
    return calls


def files(folder):
    return sorted(str(path.relative_to(folder)) for path in folder.rglob('*') if path.is_file())


@pytest.mark.parametrize('options', [DataOptions(), DataOptions(factor=2, paper_pixels=True, test_every=2)])
def test_second_call_is_the_same_scene_without_the_loader(blender_folder, cache, loads, capfd, caplog, options):
    args = (None, str(blender_folder), 'lego', options, str(cache))
    first, second = cached_scene(*args), cached_scene(*args)
    assert len(loads) == 1
    direct = formats.load_scene(*args[:4])
    assert_same(first, direct)
    assert_same(second, direct)
    assert capfd.readouterr() == ('', '')
    assert caplog.records == []


def test_no_temporary_folder_is_left(blender_folder, cache, tmp_path, monkeypatch):
    (tmp_path / 'temporary').mkdir()
    monkeypatch.setattr(tempfile, 'tempdir', str(tmp_path / 'temporary'))
    cached_scene(None, str(blender_folder), 'lego', DataOptions(), str(cache))
    assert files(cache)
    assert list((tmp_path / 'temporary').iterdir()) == []


def test_weights_are_kept(blender_folder, cache, monkeypatch):
    weights = np.array([1, 4, 16, 64, 1, 4, 16, 0.5], np.float32)
    weighted = dataclasses.replace(formats.load_scene(None, str(blender_folder), '', DataOptions()), weights=weights)
    monkeypatch.setattr(builders, 'load_scene', lambda *args: weighted)
    for _ in range(2):
        scene = cached_scene(None, str(blender_folder), '', DataOptions(), str(cache))
        np.testing.assert_array_equal(scene.weights, weights, strict=True)
        assert_same(scene, weighted)


def test_what_takes_long_is_reported(blender_folder, cache, caplog, monkeypatch):
    monkeypatch.setattr(builders, 'SHOWN_AFTER', 1e-9)
    args = (None, str(blender_folder), 'lego', DataOptions(), str(cache))
    for what in ('caching images', 'reading cached images'):
        caplog.clear()
        with caplog.at_level('INFO', logger='nerf'):
            cached_scene(*args)
        assert caplog.records[-1].getMessage().startswith(f'{what} 8/8, ')


def test_masks_are_kept(blender_folder, cache, monkeypatch):
    plain = formats.load_scene(None, str(blender_folder), '', DataOptions())
    masked = dataclasses.replace(plain, used=np.random.default_rng(0).random(len(plain.pixels)) < 0.7)
    monkeypatch.setattr(builders, 'load_scene', lambda *args: masked)
    for _ in range(2):
        scene = cached_scene(None, str(blender_folder), '', DataOptions(), str(cache))
        np.testing.assert_array_equal(scene.used, masked.used, strict=True)
        assert_same(scene, masked)


def test_points_are_kept(blender_folder, cache, monkeypatch):
    points = np.random.default_rng(0).normal(size=(7, 3)).astype(np.float32)
    pointed = dataclasses.replace(formats.load_scene(None, str(blender_folder), '', DataOptions()), points=points)
    monkeypatch.setattr(builders, 'load_scene', lambda *args: pointed)
    for _ in range(2):
        scene = cached_scene(None, str(blender_folder), '', DataOptions(), str(cache))
        np.testing.assert_array_equal(scene.points, points, strict=True)


def test_the_frame_is_kept(blender_folder, cache, monkeypatch):
    turned = np.array([[0.0, 1, 0], [0, 0, 1], [1, 0, 0]])
    frame = Frame(turned, np.array([441550.6683594056, 5121941.020510139, 2344.1]), 1 / 3)
    placed = dataclasses.replace(formats.load_scene(None, str(blender_folder), '', DataOptions()), frame=frame)
    monkeypatch.setattr(builders, 'load_scene', lambda *args: placed)
    for _ in range(2):
        scene = cached_scene(None, str(blender_folder), '', DataOptions(), str(cache))
        assert isinstance(scene.frame.scale, float)
        for value, expected in zip(scene.frame, frame, strict=True):
            np.testing.assert_array_equal(value, expected)


@pytest.mark.parametrize(('has_lens', 'has_ndc'), [(True, False), (False, True), (True, True)])
def test_lenses_and_ndc_are_kept(blender_folder, cache, monkeypatch, caplog, has_lens, has_ndc):
    rng = np.random.default_rng(0)
    plain = formats.load_scene(None, str(blender_folder), '', DataOptions())
    count = len(plain.names)
    coefficients = rng.uniform(-0.01, 0.01, (count, 8)).astype(np.float32)
    coefficients[0] = 0
    lens = Lens(coefficients, np.arange(count, dtype=np.int32) % 2)
    ndc = rng.uniform(1, 2, (count, 2)).astype(np.float32)
    cameras = plain.cameras.replace(lens=lens if has_lens else None, ndc=ndc if has_ndc else None)
    bent = dataclasses.replace(plain, cameras=cameras)
    monkeypatch.setattr(builders, 'load_scene', lambda *args: bent)
    cached_scene(None, str(blender_folder), '', DataOptions(), str(cache))
    monkeypatch.delattr(builders, 'load_scene')
    assert_same(cached_scene(None, str(blender_folder), '', DataOptions(), str(cache)), bent)
    assert caplog.records == []


def test_a_changed_source_or_option_is_loaded_anew(blender_folder, cache, loads):
    args = (None, str(blender_folder), 'lego')
    cached_scene(*args, DataOptions(), str(cache))
    os.utime(blender_folder / 'test' / 'r_0.png', ns=(1, 1))
    cached_scene(*args, DataOptions(), str(cache))
    half = cached_scene(*args, DataOptions(factor=2), str(cache))
    assert len(loads) == 3
    assert half.cameras.width[0] == 4
    assert cached_scene(*args, DataOptions(factor=2), str(cache)).cameras.width[0] == 4
    assert len(loads) == 3


def test_mistakes_in_the_source_are_the_loaders_and_leave_nothing(blender_folder, cache):
    image = blender_folder / 'test' / 'r_3.png'
    whole = image.read_bytes()
    image.write_bytes(whole[:70])
    args = ('blender', str(blender_folder), 'lego', DataOptions(), str(cache))
    with pytest.raises(UserError, match=r'r_3\.png: cannot be read'):
        cached_scene(*args)
    assert files(cache) == []
    image.unlink()
    with pytest.raises(UserError, match=r'r_3\.png'):
        cached_scene(*args)
    image.write_bytes(whole)
    assert_same(cached_scene(*args), cached_scene(*args))


def test_a_cache_that_cannot_be_written_costs_one_warning(blender_folder, tmp_path, caplog):
    (tmp_path / 'file').write_text('where a folder is needed')
    args = (None, str(blender_folder), 'lego', DataOptions(), str(tmp_path / 'file' / 'cache'))
    assert_same(cached_scene(*args), formats.load_scene(*args[:4]))
    assert ['cannot be cached' in record.getMessage() for record in caplog.records] == [True]


@pytest.mark.parametrize('ending', ['tfrecord*', 'dataset_info.json'])
def test_a_damaged_cache_costs_one_warning(blender_folder, cache, caplog, ending):
    args = (None, str(blender_folder), 'lego', DataOptions(), str(cache))
    first = cached_scene(*args)
    (path,) = cache.rglob(f'*{ending}')
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 255
    path.write_bytes(content[: len(content) * 3 // 4])
    assert_same(cached_scene(*args), first)
    assert ['remove it from the cache' in record.getMessage() for record in caplog.records] == [True]
    for folder in (cache / 'nerf_scene').iterdir():
        shutil.rmtree(folder)
    assert_same(cached_scene(*args), first)


def test_two_writers_at_the_same_time(blender_folder, cache, loads, caplog, monkeypatch):
    args = (None, str(blender_folder), 'lego', DataOptions(), str(cache))
    write = builders.NerfScene._generate_examples
    inner = []

    def overtaken(self):
        if not inner:  # while the first writer is at work, another one comes and finishes
            inner.append(None)
            inner[0] = cached_scene(*args)
        return write(self)

    monkeypatch.setattr(builders.NerfScene, '_generate_examples', overtaken)
    assert_same(cached_scene(*args), inner[0])
    assert len(loads) == 2
    assert caplog.records == []
    assert_same(cached_scene(*args), inner[0])
    assert len(loads) == 2
    assert not [name for name in files(cache) if 'incomplete' in name]
