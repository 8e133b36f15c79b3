import json
import os

import imageio.v3 as imageio
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nerf.data import procedural
from nerf.data.formats import blender
from nerf.data.images import premultiply
from nerf.data.options import DataOptions
from nerf.data.procedural import ground_truth, load, main, straight_images, views, write
from nerf.errors import UserError
from nerf.ray.cameras import cast, project

WIDTH = 32


def on_device(camera):
    return jax.tree.map(jnp.asarray, camera)


@pytest.fixture(scope='module')
def straight():
    return straight_images(views(WIDTH)[2])


@pytest.fixture(scope='module')
def scene():
    return load(WIDTH)


@pytest.fixture(scope='module')
def folder(tmp_path_factory):
    out = tmp_path_factory.mktemp('data') / 'scene'
    write(str(out), WIDTH)
    return out


def one(cameras, index):
    return jax.tree.map(lambda field: field[index], cameras)


def test_cameras_look_at_the_origin_from_the_upper_half_sphere(scene):
    pose = scene.cameras.camera_to_world
    np.testing.assert_allclose(np.linalg.norm(pose[:, :, 3], axis=1), 4, rtol=1e-6)
    assert (pose[:, 2, 3] > 4 * np.sin(np.radians(5))).all()
    assert (pose[:, 2, 3] < 4 * np.sin(np.radians(75))).all()
    for i in (0, 33, 61, 70):
        xy, depth = project(on_device(scene.camera(i)), jnp.zeros(3))
        np.testing.assert_allclose(xy, WIDTH / 2, atol=1e-4)
        np.testing.assert_allclose(depth, 4, rtol=1e-6)
        above, _ = project(on_device(scene.camera(i)), jnp.array([0, 0, 0.5]))
        assert above[1] < WIDTH / 2 - 1  # up in the world is up in the image
        np.testing.assert_allclose(above[0], WIDTH / 2, atol=1e-4)
    angle = 2 * np.arctan(WIDTH / 2 / scene.cameras.camera_to_pixel[0, 0, 0])
    np.testing.assert_allclose(angle, 0.6911112, rtol=1e-6)
    np.testing.assert_array_equal(scene.cameras.near, 2)
    np.testing.assert_array_equal(scene.cameras.far, 6)


def test_training_views_surround_the_scene_and_held_out_ones_are_others(scene):
    position = scene.cameras.camera_to_world[:, :, 3]
    train = position[scene.indices('train')]
    held_out = position[np.concatenate([scene.indices('val'), scene.indices('test')])]
    apart = np.linalg.norm(train[:, None] - train, axis=2) + 10 * np.eye(len(train))
    assert apart.min() > 0.4
    to_train = np.linalg.norm(held_out[:, None] - train, axis=2).min(axis=1)
    assert to_train.max() < 1.1  # no hole in the training views
    apart = np.linalg.norm(held_out[:, None] - position, axis=2)
    assert (np.sort(apart, axis=1)[:, 1] > 1e-3).all()


def test_splits_and_names(scene):
    assert [len(scene.indices(split)) for split in ('train', 'val', 'test')] == [60, 4, 10]
    assert len(set(scene.names)) == 74
    assert (scene.names[0], scene.names[60], scene.names[73]) == ('train_r_0', 'val_r_0', 'test_r_9')


def test_cameras_do_not_depend_on_the_width():
    small, large = views(20)[2], views(200)[2]
    np.testing.assert_array_equal(small.camera_to_world, large.camera_to_world)
    np.testing.assert_allclose(10 * small.camera_to_pixel[:, :2], large.camera_to_pixel[:, :2], rtol=1e-6)


def test_surface_covers_enough_of_every_view_and_leaves_the_border_free(scene):
    for i, (name, split) in enumerate(zip(scene.names, scene.split, strict=True)):
        alpha = scene.image(i)[..., 3] / 255
        assert 0.2 < alpha.mean() < 0.6, name
        assert split == 'train' or alpha.mean() > 0.25, name
        assert max(alpha[0].max(), alpha[-1].max(), alpha[:, 0].max(), alpha[:, -1].max()) == 0, name


def test_alpha_is_partial_only_beside_a_silhouette(straight):
    for i in (0, 60, 64, 69):
        mask = ground_truth(one(views(WIDTH)[2], i)).alpha > 0
        alpha = straight[i][..., 3]
        around = np.stack([np.roll(mask, (y, x), (0, 1)) for y in (-1, 0, 1) for x in (-1, 0, 1)])
        partial = (alpha > 0) & (alpha < 255)
        assert 0.02 < partial.mean() < 0.2
        beside = around.any(axis=0) & ~around.all(axis=0)
        assert beside[partial].mean() > 0.95  # a tip or a gap may be narrower than a pixel
        np.testing.assert_array_equal(straight[i][alpha == 0], 0)


def test_pixels_are_the_mean_of_a_grid_of_rays(straight):
    """The centres of an image of 4 times the size are the 16 sub-pixels."""
    index = 65
    fine = ground_truth(one(views(4 * WIDTH)[2], index))
    rgba = np.concatenate([fine.rgb, fine.alpha[..., None]], axis=-1)
    mean = rgba.reshape(WIDTH, 4, WIDTH, 4, 4).mean(axis=(1, 3))
    off = np.abs(premultiply(straight[index]) / 255 - mean)
    assert np.quantile(off, 0.99) < 1.01 / 255
    assert off.mean() < 0.3 / 255  # few rays meet the other colour at an edge, by the rounding of their directions


def test_ground_truth_is_where_the_scene_is():
    camera = one(views(40)[2], 66)
    truth, camera = ground_truth(camera), on_device(camera)
    assert truth.distance.shape == (40, 40)
    assert truth.normal.shape == (40, 40, 3)
    y, x = np.argwhere(truth.alpha > 0)[[0, 100, 300]].T
    for row, column in zip(y, x, strict=True):
        ray = cast(camera, jnp.array([column + 0.5, row + 0.5]))
        point = ray.origin + truth.distance[row, column] * ray.viewdir
        xy, _ = project(camera, point)
        np.testing.assert_allclose(xy, [column + 0.5, row + 0.5], atol=1e-3)
        assert np.linalg.norm(point) < 1.2
    hit = truth.alpha > 0
    assert truth.distance[hit].min() > 2.5
    assert truth.distance[hit].max() < 5.5
    floor = hit & (truth.normal[..., 2] == 1)
    assert floor.sum() > 50
    corner = cast(on_device(camera), jnp.array([0.5, 0.5], np.float32))
    np.testing.assert_allclose(truth.distance[0, 0], 6 * np.linalg.norm(corner.direction), rtol=1e-6)


def test_images_do_not_depend_on_the_block_or_on_the_other_images(straight, monkeypatch):
    monkeypatch.setattr(procedural, 'BLOCK', 300)
    camera = jax.tree.map(lambda field: field[[70]], views(WIDTH)[2])
    np.testing.assert_array_equal(straight_images(camera)[0], straight[70])


def test_the_scene_holds_the_premultiplied_images(scene, straight):
    for i in (0, 40, 73):
        np.testing.assert_array_equal(scene.image(i), premultiply(straight[i]))


def test_folder_is_a_blender_scene_with_the_same_pixels(folder, scene, straight):
    for split in ('train', 'val', 'test'):
        with open(folder / f'transforms_{split}.json') as file:
            content = json.load(file)
        assert content['camera_angle_x'] == pytest.approx(0.6911112070083618)
        assert [frame['file_path'] for frame in content['frames']] == [
            f'./{split}/r_{i}' for i in range(len(scene.indices(split)))
        ]
        matrices = np.array([frame['transform_matrix'] for frame in content['frames']])
        np.testing.assert_array_equal(matrices[:, 3], np.tile([0, 0, 0, 1], (len(matrices), 1)))
        np.testing.assert_allclose(matrices[:, :3], scene.cameras.camera_to_world[scene.indices(split)], atol=1e-6)
    np.testing.assert_array_equal(imageio.imread(folder / 'test' / 'r_3.png'), straight[67])
    assert sorted(os.listdir(folder.parent)) == ['scene']  # nothing temporary is left


def test_folder_read_back_is_the_built_in_scene(folder, scene):
    read = blender.load(str(folder), DataOptions())
    assert (read.names, read.split) == (scene.names, scene.split)
    np.testing.assert_array_equal(read.pixels, scene.pixels)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6, atol=1e-7), read.cameras, scene.cameras)


def test_a_folder_in_use_is_left_alone(tmp_path):
    (tmp_path / 'mine.txt').write_text('kept')
    with pytest.raises(UserError, match='exists and is not an empty folder'):
        write(str(tmp_path), WIDTH)
    with pytest.raises(UserError, match='exists and is not an empty folder'):
        write(str(tmp_path / 'mine.txt'), WIDTH)
    assert (tmp_path / 'mine.txt').read_text() == 'kept'
    with pytest.raises(UserError, match='cannot be written'):
        write(str(tmp_path / 'mine.txt' / 'below'), WIDTH)


def test_a_failure_leaves_nothing_behind(tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, 'No space left on device')

    monkeypatch.setattr(procedural.imageio, 'imwrite', fail)
    with pytest.raises(UserError, match=r'--out=.*No space left on device'):
        write(str(tmp_path / 'scene'), 8)
    assert os.listdir(tmp_path) == []


def test_the_command(tmp_path, capsys):
    with pytest.raises(SystemExit) as exit_of:
        main([f'--out={tmp_path / "small"}', '--width=7'])
    assert exit_of.value.code == 1
    assert capsys.readouterr().err == (
        'error: width 7 px found for the built-in scene, expected at least 8: choose a larger one\n'
    )
    main([f'--out={tmp_path}', '--width=8'])  # an empty folder is welcome
    assert imageio.imread(tmp_path / 'val' / 'r_3.png').shape == (8, 8, 4)
