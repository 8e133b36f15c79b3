import os

import numpy as np
import pytest
from PIL import Image

from nerf.data.formats import photos
from nerf.data.formats.photos import Photo, assemble
from nerf.data.options import DataOptions
from nerf.errors import UserError

LENS = np.array([[40.0, 0, 11], [0, 30, 9], [0, 0, 1]])


@pytest.fixture
def photo(tmp_path):
    """Writes an image and says where its camera is: number i stands at x = i and looks at z = -5, which is 5 away."""

    def write(name, number=0, size=(20, 16), camera_size=None, **fields):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = np.random.default_rng(number).integers(0, 256, (size[1], size[0], 3), np.uint8)
        Image.fromarray(pixels).save(path)
        pose = np.concatenate([np.eye(3), [[number], [0], [0]]], axis=1)
        return Photo(name, str(path), pose, LENS, camera_size or size, **fields)

    return write


def load(found, bounds=None, points=None, **options):
    bounds = np.tile([[1.0, 9.0]], (len(found), 1)) if bounds is None else bounds
    return assemble('cameras.txt', found, DataOptions(**{'normalise': False, **options}), points, bounds)


def pixels_of(photo):
    return np.array(Image.open(photo.path))


def test_photos_are_sorted_by_name_and_every_eighth_is_held_out(photo):
    found = [photo(f'p{i:02d}.png', i) for i in (12, 3, 8, 0, 5, 16, 1, 2, 4, 6, 7, 9, 10, 11, 13, 14, 15)]
    scene = load(found)
    assert scene.indices('test').tolist() == [0, 8, 16]
    assert scene.names[7:10] == ('train_p07', 'test_p08', 'train_p09')
    assert scene.cameras.camera_to_world[:, 0, 3].tolist() == list(range(17))
    for i, at in ((12, 0), (3, 1), (16, 5)):
        np.testing.assert_array_equal(scene.image(i)[..., :3], pixels_of(found[at]))
    assert load(found, test_every=5).indices('test').tolist() == [0, 5, 10, 15]


def test_extreme_bounds_count_and_points_are_kept(photo):
    found = [photo('b.png', 1), photo('a.png', 0)]
    bounds = np.array([[3.0, 4.0], [2.0, 7.0]])
    scene = load(found, bounds, points=np.array([[1.0, 2.0, -5.0]]))
    assert (scene.cameras.near[0], scene.cameras.far[0]) == pytest.approx((0.9 * 2, 1.1 * 7))
    assert scene.points.tolist() == [[1, 2, -5]]
    assert load(found).points.shape == (0, 3)


def test_a_photos_own_split_wins(photo):
    found = [photo('a.png', split='train'), photo('b.png', split='val'), photo('c.png'), photo('d.png', split='test')]
    assert load(found).split == ('train', 'val', 'train', 'test')


def test_names_that_clash_get_their_folders(photo):
    assert load([photo('a.png'), photo('b.JPG')], test_every=2).names == ('test_a', 'train_b')
    assert load([photo('l/a.png'), photo('r/a.png')], test_every=2).names == ('test_l_a', 'train_r_a')
    assert load([photo('l/a.png', split='train'), photo('r/a.png', split='test')]).names == ('train_a', 'test_a')
    whole = [photo(name, split='train') for name in ('a.jpg', 'a.png')]
    assert load(whole).names == ('train_a.jpg', 'train_a.png')
    with pytest.raises(UserError, match=r"cameras\.txt: lists the image 'x/a\.png' twice"):
        load([photo('x/a.png', split='train'), photo('x/./a.png', split='train')])


def test_photos_of_different_sizes_keep_their_lenses(photo):
    found = [photo('a.png', 0), photo('b.png', 1, size=(30, 10)), photo('c.png', 2, size=(10, 8), camera_size=(20, 16))]
    scene = load(found)
    assert list(zip(scene.cameras.width, scene.cameras.height, strict=True)) == [(20, 16), (30, 10), (10, 8)]
    np.testing.assert_allclose(scene.camera(1).camera_to_pixel, LENS)
    np.testing.assert_allclose(scene.camera(2).camera_to_pixel, [[20, 0, 5.5], [0, 15, 4.5], [0, 0, 1]])
    for i in range(3):
        np.testing.assert_array_equal(scene.image(i)[..., :3], pixels_of(found[i]))


def test_lens_follows_each_axis(photo):
    """20 x 15 at a width of 7 is 7 x 5 (15 x 7 / 20 = 5.25)."""
    scene = load([photo('a.png', size=(20, 15)), photo('b.png', 1, size=(20, 15))], width=7)
    assert (scene.camera(0).width, scene.camera(0).height) == (7, 5)
    np.testing.assert_allclose(
        scene.camera(0).camera_to_pixel, [[40 * 7 / 20, 0, 11 * 7 / 20], [0, 10, 3], [0, 0, 1]], rtol=1e-6
    )


def test_what_lies_there_in_about_the_size_is_used_as_it_is(photo):
    small = photo('a.png', size=(333, 250), camera_size=(1001, 752))  # a third is 333.67 px
    exact = photos.read_photo(small, DataOptions(factor=3))
    np.testing.assert_array_equal(exact[..., :3], pixels_of(small))
    assert photos.read_photo(small, DataOptions()).shape == (250, 333, 4)
    assert photos.read_photo(small, DataOptions(width=332)).shape == (249, 332, 4)
    assert photos.read_photo(small, DataOptions(factor=6)).shape == (125, 167, 4)
    with pytest.raises(UserError, match=r'a\.png: width 500 asked for, but the image has 333 px'):
        photos.read_photo(small, DataOptions(factor=2))


def test_an_image_of_another_shape_is_refused(photo):
    with pytest.raises(UserError, match=r'a\.png: found 20 x 16 px, expected the shape of its camera, 16 x 20; use the images'):
        load([photo('a.png', camera_size=(16, 20)), photo('b.png')])
    assert photos.read_photo(photo('c.png', size=(20, 16), camera_size=(20, 17)), DataOptions()).shape == (16, 20, 4)


def test_a_photo_that_fits_only_if_turned_by_exif_is_turned(photo):
    def turned(name, orientation, size, camera_size):
        found = photo(name, size=size, camera_size=camera_size)
        exif = Image.Exif()
        exif[0x0112] = orientation
        pixels = pixels_of(found)
        Image.fromarray(pixels).save(found.path, exif=exif)
        return found, pixels

    found, pixels = turned('a.png', 6, (20, 16), (32, 40))
    other, as_is = turned('b.png', 6, (20, 20), (20, 20))  # fits in either way
    scene = load([found, other], width=16)
    np.testing.assert_array_equal(scene.image(0)[..., :3], np.rot90(pixels, -1))
    assert (scene.camera(0).width, scene.camera(0).height) == (16, 20)
    np.testing.assert_allclose(scene.camera(0).camera_to_pixel, [[20, 0, 5.5], [0, 15, 4.5], [0, 0, 1]])
    np.testing.assert_array_equal(photos.read_photo(other, DataOptions())[..., :3], as_is)
    neither, _ = turned('c.png', 6, (20, 16), (20, 40))
    with pytest.raises(UserError, match=r'found 20 x 16 px \(16 x 20 px turned by its EXIF orientation\), .* camera, 20 x 40;'):
        photos.read_photo(neither, DataOptions())
    upside_down, pixels = turned('d.png', 3, (20, 16), (20, 16))
    np.testing.assert_array_equal(photos.read_photo(upside_down, DataOptions())[..., :3], pixels)


def test_lenses_that_bend(photo):
    bent = np.arange(8) / 100
    scene = load([photo('a.png'), photo('b.png', distortion=bent), photo('c.png', is_fisheye=True, distortion=-bent)])
    np.testing.assert_allclose(scene.cameras.lens.coefficients, [np.zeros(8), bent, -bent], rtol=1e-6)
    assert scene.cameras.lens.is_fisheye.tolist() == [0, 0, 1]
    assert load([photo('a.png'), photo('b.png', distortion=np.zeros(8))]).cameras.lens is None
    assert load([photo('a.png'), photo('b.png', is_fisheye=True)]).cameras.lens.is_fisheye.tolist() == [0, 1]


def test_a_camera_that_cannot_be_is_named(photo):
    wrong = photo('b.png')
    wrong.pose[0, 0] = np.nan
    with pytest.raises(UserError, match=r'camera of b\.png in cameras\.txt: its pose has a value that is not finite'):
        load([photo('a.png'), wrong])


@pytest.fixture
def sizes(tmp_path):
    def make(*names):
        for name in names:
            (tmp_path / name).mkdir()
            (tmp_path / name / 'a.jpg').write_bytes(b'')
        return lambda **options: os.path.basename(photos.image_folder(str(tmp_path), 4000, DataOptions(**options)))

    return make


def test_smallest_images_that_are_large_enough(sizes):
    chosen = sizes('images', 'images_2', 'images_4', 'images_8', 'images_x', 'images_0', 'images_16')
    assert [chosen(factor=n) for n in (1, 2, 3, 4, 5, 8, 20)] == [
        *('images', 'images_2', 'images_2', 'images_4', 'images_4', 'images_8', 'images_16')
    ]
    assert [chosen(width=n) for n in (4000, 2001, 2000, 1000, 999, 501, 500, 1)] == [
        *('images', 'images', 'images_2', 'images_4', 'images_4', 'images_4', 'images_8', 'images_16')
    ]
    assert chosen(width=1000, factor=16) == 'images_4'


def test_without_large_enough_images(sizes, tmp_path):
    (tmp_path / 'images').mkdir()  # without a single image
    chosen = sizes('images_4', 'images_8')
    assert (chosen(), chosen(factor=4), chosen(width=1000)) == ('images_4',) * 3
    with pytest.raises(UserError, match=r'factor 2 asked for, but found only images_4, images_8, .*data\.factor=4$'):
        chosen(factor=2)
    with pytest.raises(UserError, match=r'width 1001 asked for, but found only images_4, images_8, .*data\.width=1000$'):
        chosen(width=1001)


def test_no_images_at_all(tmp_path):
    with pytest.raises(UserError, match='found no images, expected a folder images'):
        photos.image_folder(str(tmp_path), 4000, DataOptions())
    (tmp_path / 'images_2' / 'a').mkdir(parents=True)
    (tmp_path / 'images_2' / 'a' / 'b.NEF').touch()
    with pytest.raises(UserError, match=r'images_2: found no images, but files that end in \.nef; expected \.png'):
        photos.image_folder(str(tmp_path), 4000, DataOptions())


def test_what_a_mac_adds_is_no_image(tmp_path):
    for name in ('a.png', '._a.png', '.DS_Store', '__MACOSX/a.png', '.thumbnails/a.png', 'b/c.tiff', 'b/._c.tiff'):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert photos.list_images(str(tmp_path)) == ['a.png']
    assert photos.images_below(str(tmp_path)) == ['a.png', 'b/c.tiff']


def test_images_are_listed_by_their_endings(tmp_path):
    for name in ('a.JPG', 'd.x.webp', 'e.png', 'e.jpg', 'notes.txt'):
        (tmp_path / name).write_bytes(b'')
    os.symlink('loop.png', tmp_path / 'loop.png')
    (tmp_path / 'folder.png').mkdir()
    assert photos.list_images(str(tmp_path)) == ['a.JPG', 'd.x.webp', 'e.jpg', 'e.png']


def test_a_file_may_have_a_backslash_in_its_name(photo):
    assert load([photo('a\\b.png', split='train'), photo('c.png', split='train')]).names == ('train_a_b', 'train_c')


@pytest.mark.parametrize('centre', [(-0.1, 4), (5, -0.1), (10.1, 4), (5, 8.1)])
def test_principal_points_outside_of_the_image_are_refused(photo, centre):
    found = photo('a.png', size=(10, 8), split='train')
    found.intrinsics[:2, 2] = centre
    with pytest.raises(UserError, match=r'a\.png in cameras\.txt: the principal point .* outside of the image of 10 x 8 px'):
        load([found])
    found.intrinsics[:2, 2] = np.clip(centre, 0, (10, 8))  # the edge is part of the image
    assert load([found]).names == ('train_a',)


def test_scaled_rotations_are_used_without_their_scale(photo, caplog):
    found = [photo(name, split='train') for name in ('a.png', 'b.png')]
    found[1].pose[:, :3] *= 2.5
    poses = load(found).cameras.camera_to_world
    np.testing.assert_allclose(poses[1], poses[0], atol=1e-6)
    assert [record.getMessage()[:48] for record in caplog.records] == ['cameras.txt: 1 of 2 poses are rotations times a ']


def test_without_an_image_to_train_on(photo):
    with pytest.raises(UserError, match=r'cameras\.txt: no training image among 2, expected at least one'):
        load([photo('a.png', split='val'), photo('b.png', split='test')])
