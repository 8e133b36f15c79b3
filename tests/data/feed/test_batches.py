import dataclasses
import itertools

import jax
import numpy as np
import pytest

from nerf.data.feed import batches
from nerf.data.feed.batches import Batches, pixel_batch, plain_batches
from nerf.data.scene import make_scene, stack_cameras
from nerf.errors import UserError

SIZES = np.array([(6, 4), (4, 8), (10, 2)])  # width, height; the second image is not for training


@pytest.fixture
def scene():
    """Pixels that say where they are: (image, column, row, 255)."""
    images = []
    for i, (width, height) in enumerate(SIZES):
        column, row = np.meshgrid(np.arange(width), np.arange(height))
        images.append(np.stack([np.full_like(row, i), column, row, np.full_like(row, 255)], -1).astype(np.uint8))
    cameras = stack_cameras(np.tile(np.eye(3, 4), (3, 1, 1)), np.tile(np.eye(3), (3, 1, 1)), SIZES, 1.0, 2.0)
    return make_scene(['a', 'b', 'c'], ['train', 'test', 'train'], images, cameras)


def assert_same(a, b):
    jax.tree.map(lambda x, y: np.testing.assert_array_equal(x, y, strict=True), a, b)


def test_pixels_are_what_is_at_their_place(scene):
    batch = pixel_batch(scene, scene.indices('train'), 3, 5, 500)
    np.testing.assert_array_equal(batch.rgba[:, 0], batch.camera)
    np.testing.assert_array_equal(batch.rgba[:, 1:3] + 0.5, batch.xy)
    assert (batch.weight == 1).all()
    assert [str(x.dtype) for x in (batch.camera, batch.xy, batch.rgba, batch.weight)] == [
        'int32',
        'float32',
        'uint8',
        'float32',
    ]
    assert [x.shape for x in (batch.camera, batch.xy, batch.rgba, batch.weight)] == [(500,), (500, 2), (500, 4), (500,)]


def test_mixed_is_uniform_over_all_pixels_of_the_training_images(scene):
    count = 200_000
    batch = pixel_batch(scene, scene.indices('train'), 0, 0, count)
    _, often = np.unique(batch.rgba, axis=0, return_counts=True)
    assert len(often) == 6 * 4 + 10 * 2  # each pixel of a and c, none of b
    expected = count / len(often)
    assert np.abs(often - expected).max() < 5 * np.sqrt(expected)


def test_pixels_weigh_what_their_image_does(scene):
    weighted = dataclasses.replace(scene, weights=np.array([1, 4, 16], np.float32))
    batch = pixel_batch(weighted, scene.indices('train'), 3, 5, 500)
    np.testing.assert_array_equal(batch.weight, np.where(batch.rgba[:, 0] == 2, 16, 1).astype(np.float32), strict=True)
    assert set(batch.camera) == {0, 2}


@pytest.mark.parametrize('weight', [0, -1, np.nan, np.inf])
def test_weights_that_cannot_be_are_refused(scene, weight):
    images, weights = [scene.image(i) for i in range(3)], np.array([1, 1, weight], np.float32)
    with pytest.raises(UserError, match=rf'image c: weight {float(weight)} found, expected a positive number'):
        make_scene(scene.names, scene.split, images, scene.cameras, weights)


def test_crop_uses_all_of_the_central_part_and_nothing_else(scene):
    batch = pixel_batch(scene, scene.indices('train'), 0, 0, 2000, crop=0.5)
    first, last = batch.camera == 0, batch.camera == 2
    assert set(map(tuple, batch.xy[first])) == set(itertools.product([1.5, 2.5, 3.5], [1.5, 2.5]))  # 3 x 2 of 6 x 4
    assert set(map(tuple, batch.xy[last])) == set(itertools.product([2.5, 3.5, 4.5, 5.5, 6.5], [0.5]))  # 5 x 1 of 10 x 2
    assert abs(first.mean() - 6 / 11) < 0.05
    np.testing.assert_array_equal(batch.rgba[:, 1:3] + 0.5, batch.xy)


def test_single_image_draws_one_image_for_each_batch(scene):
    steps = [pixel_batch(scene, scene.indices('train'), 0, step, 300, 'single_image') for step in range(400)]
    assert all(len(set(batch.camera.tolist())) == 1 for batch in steps)
    assert abs(np.mean([batch.camera[0] == 0 for batch in steps]) - 0.5) < 0.12  # by image, not by area
    small = next(batch for batch in steps if batch.camera[0] == 2)
    assert len(np.unique(small.rgba, axis=0)) == 20


def test_a_batch_is_a_function_of_seed_and_step(scene):
    images = scene.indices('train')
    once = pixel_batch(scene, images, 7, 123_456, 64)
    assert_same(once, pixel_batch(scene, images, 7, 123_456, 64))
    for seed, step in ((7, 123_457), (8, 123_456), (123_456, 7)):
        assert (pixel_batch(scene, images, seed, step, 64).xy != once.xy).any()


def test_resuming_and_rows_give_the_same_global_batches(scene):
    spec = Batches(seed=1, batch_size=12, batching='mixed')
    whole = list(itertools.islice(plain_batches(scene, spec, 0), 5))
    assert_same(whole[3], next(plain_batches(scene, spec, 3)))
    parts = [list(itertools.islice(plain_batches(scene, spec, 0, slice(k, k + 6)), 5)) for k in (0, 6)]
    for step in range(5):
        assert_same(whole[step], jax.tree.map(lambda *x: np.concatenate(x), parts[0][step], parts[1][step]))


def test_the_crop_ends_after_its_steps(scene):
    spec = Batches(seed=1, batch_size=300, batching='mixed', crop_steps=2)
    images = scene.indices('train')
    different = [len(np.unique(batch.rgba, axis=0)) for batch in itertools.islice(plain_batches(scene, spec, 0), 4)]
    assert different[:2] == [11, 11]
    assert min(different[2:]) > 40
    assert_same(spec.at(scene, images, 1), pixel_batch(scene, images, 1, 1, 300, crop=0.5))
    assert_same(spec.at(scene, images, 2), pixel_batch(scene, images, 1, 2, 300))


def test_specs_that_cannot_be():
    with pytest.raises(UserError, match="unknown batching 'all': expected one of mixed, single_image"):
        Batches(0, 8, 'all')
    with pytest.raises(UserError, match='batch_size 0'):
        Batches(0, 0)
    with pytest.raises(UserError, match='seed -1'):
        Batches(-1, 8)


@pytest.fixture
def masked(scene):
    """A third of the pixels of each image is masked."""
    return dataclasses.replace(scene, used=np.arange(len(scene.pixels)) % 3 > 0, weights=np.array([1, 4, 16], np.float32))


def index_of(scene, batch):
    column, row = (batch.xy - 0.5).astype(int).T
    return scene.offsets[batch.camera] + row * scene.cameras.width[batch.camera] + column


@pytest.mark.parametrize('batching', ['mixed', 'single_image'])
def test_masked_pixels_are_not_drawn_and_all_others_alike(masked, batching):
    images, count = masked.indices('train'), 60_000
    batch = pixel_batch(masked, images, 0, 0, count, batching)
    index = index_of(masked, batch)
    assert masked.used[index].all()
    np.testing.assert_array_equal(batch.rgba, masked.pixels[index])
    np.testing.assert_array_equal(batch.weight, masked.weights[batch.camera], strict=True)
    _, often = np.unique(index, return_counts=True)
    there = sum(masked.mask(i).sum() for i in set(batch.camera))
    assert len(often) == there
    assert np.abs(often - count / there).max() < 5 * np.sqrt(count / there)


def test_a_mask_changes_no_other_pixel_of_a_batch(scene, masked):
    images = scene.indices('train')
    before, after = (pixel_batch(each, images, 3, 5, 500) for each in (scene, masked))
    kept = masked.used[index_of(scene, before)]
    assert 0 < kept.sum() < 500
    np.testing.assert_array_equal(after.xy[kept], before.xy[kept])
    np.testing.assert_array_equal(after.camera[kept], before.camera[kept])
    whole = dataclasses.replace(scene, used=np.ones(len(scene.pixels), bool))
    assert_same(pixel_batch(whole, images, 3, 5, 500), before)
    assert_same(pixel_batch(masked, images, 3, 5, 500), after)


def test_where_the_central_parts_are_masked_the_whole_images_are_drawn_from(masked):
    masked = dataclasses.replace(masked, used=masked.used.copy())
    masked.mask(0)[1:3, 1:4] = False
    masked.mask(2)[0, 2:7] = False
    for batching in ('mixed', 'single_image'):
        cropped, whole = (pixel_batch(masked, masked.indices('train'), 0, 0, 100, batching, crop) for crop in (0.5, 1.0))
        assert_same(cropped, whole)
        assert (cropped.weight > 0).all()


def test_what_is_not_found_has_weight_0(masked, monkeypatch):
    monkeypatch.setattr(batches, 'DRAWS', 1)  # as where hardly anything is used
    batch = pixel_batch(masked, masked.indices('train'), 0, 0, 4000)
    used = masked.used[index_of(masked, batch)]
    assert 0.85 < used.mean() < 0.92  # 8 of 9
    np.testing.assert_array_equal(batch.weight, masked.weights[batch.camera] * used, strict=True)
