import logging
import shutil

import jax
import numpy as np
import pytest
from PIL import Image
from written_photos import built_in, pinhole, world_to_camera, write_colmap, write_images

from nerf.data import formats
from nerf.data.formats import colmap
from nerf.data.images import premultiply, shrink
from nerf.data.options import DataOptions
from nerf.errors import UserError
from nerf.ray.cameras import project

AS_THEY_ARE = DataOptions(normalise=False)
NAMES = [f'r_{i}.png' for i in range(9)]
POINTS = np.random.default_rng(1).uniform(-0.5, 0.5, (20, 3))


@pytest.fixture
def folder(tmp_path):
    """Nine photos of different sizes, each with its own camera, and a model in binary files."""
    cameras, images = built_in()
    write_images(tmp_path / 'images', NAMES, images)
    write_colmap(tmp_path / 'sparse' / '0', cameras, NAMES, points=POINTS)
    return tmp_path


def rewrite(folder, names=NAMES, **changes):
    shutil.rmtree(folder / 'sparse', ignore_errors=True)
    write_colmap(folder / 'sparse' / '0', built_in()[0], names, **changes)


def load(folder, options=AS_THEY_ARE):
    return colmap.load(str(folder), options)


def assert_same_cameras(scene):
    cameras, images = built_in()
    for i, name in enumerate(scene.names):
        number = int(name.rpartition('_')[2])
        expected = jax.tree.map(lambda field, number=number: field[number], cameras)
        for field in ('camera_to_world', 'camera_to_pixel', 'width', 'height'):
            np.testing.assert_allclose(getattr(scene.camera(i), field), getattr(expected, field), atol=1e-5, err_msg=name)
        np.testing.assert_array_equal(scene.image(i), premultiply(images[number]))


@pytest.mark.parametrize('ending', ['.bin', '.txt'])
def test_cameras_pixels_and_points_come_back(folder, ending):
    rewrite(folder, points=POINTS, ending=ending)
    scene = load(folder)
    assert scene.names == ('test_r_0', *(f'train_r_{i}' for i in range(1, 8)), 'test_r_8')
    assert_same_cameras(scene)
    assert scene.cameras.lens is None
    np.testing.assert_allclose(scene.points, POINTS, atol=1e-6)


def test_points_appear_where_colmap_says(folder):
    scene = load(folder, DataOptions(scene_type='unbounded'))
    assert abs(np.abs(scene.cameras.camera_to_world[:, :, 3]).max() - 1) < 1e-5
    for i in (0, 5):
        quaternion, translation = world_to_camera(built_in()[0].camera_to_world[i])
        _, _, _, (focal_x, focal_y, centre_x, centre_y) = pinhole(built_in()[0], i)
        w, v = quaternion[0], quaternion[1:]
        for at, point in zip(scene.points[:5], POINTS[:5], strict=True):
            x, y, z = point + 2 * np.cross(v, np.cross(v, point) + w * point) + translation
            xy, depth = jax.jit(project)(scene.camera(i), at)
            np.testing.assert_allclose(xy, [focal_x * x / z + centre_x, focal_y * y / z + centre_y], atol=1e-4)
            assert depth > 0


def test_points_say_where_an_object_begins_and_ends(folder):
    rewrite(folder, points=POINTS)
    near = load(folder, DataOptions()).cameras.near[0]
    rewrite(folder, points=0.1 * POINTS)
    # Points nearer to the middle are farther from the nearest camera, which stands about 4 away.
    assert near < load(folder, DataOptions()).cameras.near[0] < 4


def test_distortion_is_passed_on_in_the_lens_order(folder):
    lenses = [pinhole(built_in()[0], i) for i in range(9)]

    def bent(i, model, *coefficients):
        lenses[i] = model, *lenses[i][1:3], [*lenses[i][3], *coefficients]

    bent(1, 'OPENCV', 0.1, 0.2, 0.01, 0.02)
    bent(2, 'OPENCV_FISHEYE', 0.1, 0.2, 0.3, 0.4)
    lenses[3] = 'SIMPLE_RADIAL', *lenses[3][1:3], [11.0, 6.0, 5.0, -0.1]
    rewrite(folder, lenses=lenses)
    cameras = load(folder).cameras
    assert cameras.lens.is_fisheye.tolist() == [0, 0, 1, 0, 0, 0, 0, 0, 0]
    np.testing.assert_allclose(
        cameras.lens.coefficients[:4, :4], [[0, 0, 0, 0], [0.1, 0.2, 0.01, 0.02], [0.1, 0.2, 0.3, 0.4], [-0.1, 0, 0, 0]]
    )
    np.testing.assert_array_equal(cameras.camera_to_pixel[3], np.float32([[11, 0, 6], [0, 11, 5], [0, 0, 1]]))


def test_smaller_images_have_intrinsics_by_their_own_size(folder):
    cameras, images = built_in()
    halves = [shrink(image, image.shape[1] // 2) for image in images]
    halves[0][..., :3] = 0  # told apart from what shrinking would make
    rewrite(folder, names=[name.replace('png', 'JPG') for name in NAMES])  # smaller copies are often PNGs
    write_images(folder / 'images_2', NAMES, halves)
    scene = load(folder, DataOptions(factor=2, normalise=False))
    assert scene.image(0)[..., :3].max() == 0
    for i, half in enumerate(halves):
        height, width = half.shape[:2]
        assert (scene.cameras.width[i], scene.cameras.height[i]) == (width, height)
        ratio = np.array([width / cameras.width[i], height / cameras.height[i], 1])[:, None]
        np.testing.assert_allclose(scene.cameras.camera_to_pixel[i], ratio * cameras.camera_to_pixel[i], rtol=1e-6)


def test_smaller_images_under_other_names_are_not_guessed_at(folder):
    write_images(folder / 'images_2', [f'image{i:03d}.png' for i in range(9)], [image[:5, :6] for image in built_in()[1]])
    scene = load(folder, DataOptions(factor=2, normalise=False))
    np.testing.assert_array_equal(scene.image(0), shrink(built_in()[1][0], 6))


def test_images_in_folders_of_their_own(folder):
    names = [f'left/a_{i}.png' if i < 5 else f'right/a_{i - 5}.png' for i in range(9)]
    shutil.rmtree(folder / 'images')
    write_images(folder / 'images', names, built_in()[1])
    rewrite(folder, names=names)
    scene = load(folder)
    assert scene.names[:2] == ('test_left_a_0', 'train_left_a_1')
    assert scene.names[5] == 'train_right_a_0'
    np.testing.assert_array_equal(scene.image(5), premultiply(built_in()[1][5]))


def test_photos_without_pose_and_poses_without_photo_are_counted(folder, caplog):
    caplog.set_level(logging.INFO)
    load(folder)
    assert not caplog.records
    for i in (0, 3, 4, 5):
        (folder / 'images' / NAMES[i]).unlink()
    for name in ('blurred.png', '._blurred.png'):
        Image.new('RGB', (12, 12)).save(folder / 'images' / name)
    scene = load(folder)
    assert scene.names == ('test_r_1', 'train_r_2', 'train_r_6', 'train_r_7', 'train_r_8')
    assert_same_cameras(scene)
    assert [(record.levelname, record.getMessage()) for record in caplog.records] == [
        ('WARNING', f'{folder}/sparse/0: 4 of its 9 images are not in {folder}/images and left out'),
        ('WARNING', f'{folder}/images: 1 image has no pose in {folder}/sparse/0 and is not used (blurred.png)'),
    ]
    (folder / 'images' / NAMES[6]).unlink()
    with pytest.raises(UserError, match=r'sparse/0: 5 of its 9 images are not in .*/images; put those there'):
        load(folder)


@pytest.mark.parametrize('ending', ['.bin', '.txt'])
def test_of_several_models_the_one_with_the_most_images_is_used(folder, ending, caplog):
    shutil.rmtree(folder / 'sparse')
    cameras = built_in()[0]
    for place, count in (('sparse/0', 2), ('sparse/2', 4), ('sparse/10', 9), ('colmap/sparse/0', 9)):
        write_colmap(folder / place, jax.tree.map(lambda field, n=count: field[:n], cameras), NAMES[:count], ending=ending)
    assert colmap.model_folder(str(folder)) == str(folder / 'sparse' / '10')
    assert not caplog.records
    assert_same_cameras(load(folder))
    assert [record.getMessage() for record in caplog.records] == [
        f'{folder}: sparse/10 with 9 images is used, not sparse/0 with 2, sparse/2 with 4, colmap/sparse/0 with 9'
    ]
    assert colmap.sources(str(folder), AS_THEY_ARE)[0] == str(folder / 'sparse' / '10' / f'cameras{ending}')


def test_names_within_the_folder_of_the_scene(folder):
    images = built_in()[1]
    rewrite(folder, names=[f'images/{name}' for name in NAMES], points=POINTS)
    assert_same_cameras(load(folder))
    write_images(folder / 'images_2', NAMES, [image[: len(image) // 2, : image.shape[1] // 2] for image in images])
    np.testing.assert_array_equal(load(folder, DataOptions(factor=2, normalise=False)).image(0), premultiply(images[0][:6, :6]))
    shutil.rmtree(folder / 'images')
    shutil.rmtree(folder / 'images_2')
    with pytest.raises(UserError, match='found no images'):
        load(folder)


@pytest.mark.parametrize('place', ['rgb/', ''])
def test_names_with_a_folder_that_is_not_called_images(folder, place, caplog):
    shutil.rmtree(folder / 'images')
    write_images(folder, [place + name for name in [*NAMES, 'more.png']], [*built_in()[1], built_in()[1][0]])
    write_images(folder / 'depth', NAMES, built_in()[1])
    rewrite(folder, names=[place + name for name in NAMES], points=POINTS)
    assert_same_cameras(load(folder))
    (line,) = [record.getMessage() for record in caplog.records]
    assert line == f'{folder}: 1 image has no pose in {folder}/sparse/0 and is not used ({place}more.png)'
    assert set(colmap.sources(str(folder), AS_THEY_ARE)) >= {str(folder / (place + name)) for name in NAMES}


def test_the_narrowest_photo_decides_which_copies_are_large_enough(folder):
    """Widths are 12 to 8 px; copies of half of them are not wide enough for 6 px."""
    write_images(folder / 'images_2', NAMES, [image[: len(image) // 2, : image.shape[1] // 2] for image in built_in()[1]])
    scene = load(folder, DataOptions(width=6, normalise=False))
    assert scene.cameras.width.tolist() == [6] * 9
    np.testing.assert_array_equal(scene.image(8), shrink(built_in()[1][8], 6))


@pytest.mark.parametrize('place', ['sparse/0', 'sparse', 'sparse/1', 'colmap/sparse/0'])
def test_models_are_recognised_where_they_lie(folder, place):
    shutil.move(folder / 'sparse' / '0', folder / 'model')
    shutil.rmtree(folder / 'sparse')
    assert not colmap.holds(str(folder))
    shutil.copytree(folder / 'model', folder / place)
    (folder / 'poses_bounds.npy').touch()  # as the scenes of mip-NeRF 360 have, too
    assert formats.detect_format(str(folder)) == 'colmap'
    assert_same_cameras(formats.load_scene(None, str(folder), '', AS_THEY_ARE))


def test_mistakes_are_named(folder):
    with pytest.raises(UserError, match=r'images: found no COLMAP model, expected sparse/0/cameras\.bin'):
        load(folder / 'images')
    Image.new('RGB', (12, 6)).save(folder / 'images' / 'r_2.png')
    with pytest.raises(UserError, match=r'r_2\.png: found 12 x 6 px, expected the shape of its camera, 11 x 12'):
        load(folder)
    shutil.rmtree(folder / 'images')
    with pytest.raises(UserError, match='found no images, expected a folder images'):
        load(folder)
    (folder / 'sparse' / '0' / 'images.bin').write_bytes(b'\1')
    with pytest.raises(UserError, match=r'images\.bin'):
        load(folder)


def test_sources_are_the_files_that_may_be_read(folder):
    write_images(folder / 'images_2', ['r_0.png'], [built_in()[1][0]])
    (folder / 'images' / 'notes.txt').touch()
    model = [folder / 'sparse' / '0' / f'{part}.bin' for part in ('cameras', 'images', 'points3D')]
    expected = [*model, *(folder / 'images' / name for name in NAMES), folder / 'images_2' / 'r_0.png']
    assert colmap.sources(str(folder), AS_THEY_ARE) == [str(path) for path in expected]
