import json
import shutil

import numpy as np
import pytest
from PIL import Image, ImageOps
from written import front_scene, write_llff
from written_photos import built_in, write_colmap, write_images, write_transforms

from nerf.data import formats
from nerf.data.formats import masks
from nerf.data.inspect.__main__ import main as inspect
from nerf.data.inspect.report import Source, short_form
from nerf.data.options import DataOptions
from nerf.errors import UserError

OPTIONS = DataOptions(normalise=False)
NAMES = [f'r_{i}.jpg' for i in range(9)]


def write_mask(path, used, mode='L'):
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.where(used, 255, 0).astype(np.uint8)).convert(mode).save(path)


def some(shape, seed=0):
    return np.random.default_rng(seed).random(shape) < 0.6


@pytest.fixture
def colmap(tmp_path):
    """Nine photos, and the sizes [h, w] of them."""
    cameras, images = built_in()
    write_images(tmp_path / 'images', NAMES, [image[..., :3] for image in images])
    write_colmap(tmp_path / 'sparse' / '0', cameras, NAMES)
    return tmp_path


def load(folder, options=OPTIONS, format=None):
    return formats.load_scene(format, str(folder), '', options)


def mask_of(scene, stem):
    return scene.mask([scene.stem(i) for i in range(len(scene.names))].index(stem))


def test_masks_by_the_names_of_colmap_and_without_their_endings(colmap):
    sizes = [image.shape[:2] for image in built_in()[1]]
    write_mask(colmap / 'masks' / 'r_1.jpg.png', some(sizes[1]))
    write_mask(colmap / 'masks' / 'r_2.png', some(sizes[2], 2), '1')
    write_mask(colmap / 'masks' / 'r_3.png', some(sizes[3], 3), 'RGBA')
    scene = load(colmap)
    for i in range(9):
        expected = some(sizes[i], {1: 0}.get(i, i)) if i in (1, 2, 3) else np.ones(sizes[i], bool)
        np.testing.assert_array_equal(mask_of(scene, f'r_{i}'), expected, strict=True)
    assert load(colmap).pixels.tobytes() == scene.pixels.tobytes()


def test_without_masks_there_are_none(colmap, caplog):
    assert load(colmap).used is None
    write_mask(colmap / 'masks' / 'of_another.png', np.ones((3, 3)))
    assert load(colmap).used is None
    assert 'masks: holds no mask by the name of a photo' in caplog.text


def test_masks_of_smaller_photos_come_first(colmap):
    halves = [image[::2, ::2, :3] for image in built_in()[1]]
    for i, (name, half) in enumerate(zip(NAMES, halves, strict=True)):
        write_images(colmap / 'images_2', [name], [half])
        write_mask(colmap / 'masks' / f'{name}.png', np.ones(built_in()[1][i].shape[:2]))
        write_mask(colmap / 'masks_2' / f'{name}.png', some(half.shape[:2], i))
    scene = load(colmap, DataOptions(normalise=False, factor=2))
    for i, half in enumerate(halves):
        np.testing.assert_array_equal(mask_of(scene, f'r_{i}'), some(half.shape[:2], i))
    assert load(colmap).used.all()
    shutil.rmtree(colmap / 'masks_2')
    assert load(colmap, DataOptions(normalise=False, factor=2)).used.all()


def test_llff(tmp_path):
    write_llff(tmp_path, front_scene())
    write_mask(tmp_path / 'masks' / 'image003.png', some((12, 16)))
    scene = load(tmp_path)
    np.testing.assert_array_equal(mask_of(scene, 'image003'), some((12, 16)))
    assert str(tmp_path / 'masks/image003.png') in formats.FORMATS['llff'].sources(str(tmp_path), OPTIONS)


@pytest.fixture
def transforms(tmp_path):
    """Nine photos; the first frame names a mask for its own, and the second photo has one beside it."""
    cameras, images = built_in()
    names = [f'images/r_{i}.png' for i in range(9)]
    write_images(tmp_path, names, images)
    content = write_transforms(tmp_path / 'transforms.json', cameras, names)
    next(frame for frame in content['frames'] if frame['file_path'] == names[0])['mask_path'] = 'elsewhere/m.png'
    (tmp_path / 'transforms.json').write_text(json.dumps(content))
    write_mask(tmp_path / 'elsewhere' / 'm.png', some(images[0].shape[:2]))
    write_mask(tmp_path / 'masks' / 'r_0.png', np.ones(images[0].shape[:2]))
    write_mask(tmp_path / 'masks' / 'r_1.png', some(images[1].shape[:2], 1))
    return tmp_path


def test_a_frames_own_mask_wins(transforms):
    scene = load(transforms)
    shapes = [image.shape[:2] for image in built_in()[1]]
    np.testing.assert_array_equal(mask_of(scene, 'r_0'), some(shapes[0]))
    np.testing.assert_array_equal(mask_of(scene, 'r_1'), some(shapes[1], 1))
    assert mask_of(scene, 'r_2').all()


def test_at_another_size_the_nearest_pixel_counts(transforms, tmp_path):
    used = mask_of(load(transforms), 'r_0')
    half = mask_of(load(transforms, DataOptions(normalise=False, width=6)), 'r_0')
    np.testing.assert_array_equal(half, used[1::2, 1::2])
    write_mask(tmp_path / 'small.png', np.array([[1, 0, 1], [1, 1, 1]]))
    twice = masks.read_mask(str(tmp_path / 'small.png'), '', (6, 4))
    np.testing.assert_array_equal(twice, np.repeat(np.repeat([[1, 0, 1], [1, 1, 1]], 2, axis=0), 2, axis=1))
    for hidden, expected in ((2, [True, False, True, True, True]), (3, [True] * 5)):  # 0, 2, 4, 5 and 7 of 8 are the nearest
        write_mask(tmp_path / 'row.png', np.tile(np.arange(8) != hidden, (8, 1)))
        assert masks.read_mask(str(tmp_path / 'row.png'), '', (5, 5))[0].tolist() == expected


@pytest.mark.parametrize('damage', ['missing', 'outside', 'number', 'no image', 'shape', 'black'])
def test_masks_that_cannot_be_are_sentences(transforms, damage):
    content = json.loads((transforms / 'transforms.json').read_text())
    frame = next(frame for frame in content['frames'] if 'mask_path' in frame)
    if damage in ('outside', 'number', 'missing'):
        frame['mask_path'] = {'outside': '../m.png', 'number': 3, 'missing': 'masks/r_00.png'}[damage]
        (transforms / 'transforms.json').write_text(json.dumps(content))
    elif damage == 'no image':
        (transforms / 'elsewhere/m.png').write_text('nothing')
    else:
        write_mask(transforms / 'elsewhere/m.png', np.ones((30, 12)) if damage == 'shape' else np.zeros((12, 12)))
    expected = {
        'missing': r"r_0\.png': its mask_path 'masks/r_00\.png' is not there",
        'outside': 'leaves the scene folder',
        'number': 'found mask_path 3, expected the path of an image',
        'no image': r'elsewhere/m\.png: cannot be read as an image',
        'shape': r'elsewhere/m\.png: found 12 x 30 px, expected the shape of its photo, 12 x 12',
        'black': r'elsewhere/m\.png: leaves nothing of its photo at 12 x 12 px \(its largest value is 0 of 255\)',
    }
    with pytest.raises(UserError, match=expected[damage]):
        load(transforms)


@pytest.mark.parametrize('change', ['another', 'added'])
def test_the_fingerprint_knows_the_masks(transforms, colmap, change):
    for folder, format in ((transforms, 'transforms'), (colmap, 'colmap')):
        before = formats.fingerprint(format, str(folder), OPTIONS)
        if change == 'added':
            write_mask(folder / 'masks' / {'transforms': 'r_4.png', 'colmap': 'r_5.jpg.png'}[format], np.ones((9, 9)))
        else:
            path = folder / ('elsewhere/m.png' if format == 'transforms' else 'images/r_0.jpg')
            path.write_bytes(path.read_bytes() + b' ')
        assert formats.fingerprint(format, str(folder), OPTIONS) != before


def test_blender_frames_may_name_masks(blender_folder):
    path = blender_folder / 'transforms_train.json'
    content = json.loads(path.read_text())
    content['frames'][0]['mask_path'] = 'm.png'  # of r_1, 9 x 7
    path.write_text(json.dumps(content))
    write_mask(blender_folder / 'm.png', some((7, 9)))
    scene = load(blender_folder)
    np.testing.assert_array_equal(scene.mask(0), some((7, 9)))
    assert scene.used[63:].all()
    assert str(blender_folder / 'm.png') in formats.FORMATS['blender'].sources(str(blender_folder), OPTIONS)


@pytest.mark.parametrize('orientation', [5, 6, 7, 8])
def test_a_mask_lies_as_the_camera_did_where_its_photo_was_turned(tmp_path, orientation):
    """What Pillow makes of the photo is what is made of the mask."""
    used = some((4, 7))
    exif = Image.Exif()
    exif[masks.ORIENTATION] = orientation
    stored = Image.fromarray(np.where(used, 255, 0).astype(np.uint8))
    stored.save(tmp_path / 'photo.png', exif=exif)
    stored.save(tmp_path / 'mask.png')
    with Image.open(tmp_path / 'photo.png') as photo:
        expected = np.array(ImageOps.exif_transpose(photo)) > 127
    paths = str(tmp_path / 'mask.png'), str(tmp_path / 'photo.png')
    np.testing.assert_array_equal(masks.read_mask(*paths, (4, 7)), expected)
    np.testing.assert_array_equal(masks.read_mask(*paths, (7, 4)), used)  # the photo was not turned


def test_a_mask_is_used_from_half_on(tmp_path):
    Image.fromarray(np.array([[0, 127, 128, 255]], np.uint8)).save(tmp_path / 'm.png')
    assert masks.read_mask(str(tmp_path / 'm.png'), '', (4, 1)).tolist() == [[False, False, True, True]]


def test_inspect_shows_the_share(transforms, capsys):
    used = load(transforms).used
    inspect([str(transforms)])
    share = f'{1 - used.mean():.1%} of all pixels are masked, in 2 of 9 photos'
    assert f'masks      {share}' in capsys.readouterr().out.splitlines()
    lines = short_form(load(transforms), Source('transforms', str(transforms), OPTIONS))
    assert lines[2] == f'masks: {share}; these are not trained on'


def test_a_photo_is_not_taken_for_its_mask(blender_folder):
    path = blender_folder / 'transforms_train.json'
    content = json.loads(path.read_text())
    frame = content['frames'][0]
    frame['mask_path'] = f'masks/{frame["file_path"]}.png'
    path.write_text(json.dumps(content))
    with pytest.raises(UserError, match='is not there; expected the mask'):
        load(blender_folder)
