import json

import jax
import numpy as np
import pytest
from PIL import Image

from nerf.data import multiscale
from nerf.data.formats import blender
from nerf.data.formats import multiscale_blender as multiscale_loader
from nerf.data.images import premultiply, shrink
from nerf.data.multiscale import convert, main, scales, scales_paper, unpremultiply
from nerf.data.options import DataOptions
from nerf.errors import UserError

SIZES = {'train': [(24, 16), (16, 8)], 'val': [(16, 16)], 'test': [(16, 16)] * 3}  # width, height
ANGLE = 0.7


def straight_image(split, i):
    width, height = SIZES[split][i]
    pixels = np.random.default_rng([len(split), i]).integers(0, 256, (height, width, 4), dtype=np.uint8)
    pixels[: height // 4, :, 3] = 0  # with colours hidden under alpha 0
    pixels[height // 2 :, :, 3] = 255
    return pixels


@pytest.fixture
def source(tmp_path):
    """A Blender scene of two training views of different sizes, one validation view and three test views."""
    folder = tmp_path / 'blender' / 'toy'
    for split, sizes in SIZES.items():
        (folder / split).mkdir(parents=True)
        frames = []
        for i in range(len(sizes)):
            Image.fromarray(straight_image(split, i)).save(folder / split / f'r_{i}.png')
            pose = [[0.0, 0.0, 1.0, 4.0 + i], [1.0, 0.0, 0.0, 0.5], [0.0, 1.0, 0.0, -0.25], [0.0, 0.0, 0.0, 1.0]]
            frames.append({'file_path': f'./{split}/r_{i}', 'transform_matrix': pose})
        (folder / f'transforms_{split}.json').write_text(json.dumps({'camera_angle_x': ANGLE, 'frames': frames}))
    return folder


@pytest.fixture
def converted(source, tmp_path):
    out = tmp_path / 'out'
    convert(str(source), str(out))
    return out


def load(folder, **options):
    return multiscale_loader.load(str(folder), DataOptions(**options))


def test_every_size_is_loaded_as_exactly_the_light_of_its_area(converted):
    scene = load(converted)
    assert scene.names[:5] == ('train_r_0_d0', 'train_r_0_d1', 'train_r_0_d2', 'train_r_0_d3', 'train_r_1_d0')
    assert [len(scene.indices(split)) for split in ('train', 'val', 'test')] == [8, 4, 12]
    for i, (name, split) in enumerate(zip(scene.names, scene.split, strict=True)):
        number, d = int(name[-4]), int(name[-1])
        full = straight_image(split, number)
        np.testing.assert_array_equal(scene.image(i), shrink(full, full.shape[1] >> d), strict=True)
        blocks = premultiplied(full).reshape(full.shape[0] >> d, 2**d, full.shape[1] >> d, 2**d, 4)
        np.testing.assert_allclose(scene.image(i), blocks.mean(axis=(1, 3)), atol=0.501)


def premultiplied(straight):
    return np.concatenate([straight[..., :3] * (straight[..., 3:] / 255), straight[..., 3:]], axis=-1)


def test_cameras_see_the_same_at_every_size_and_weigh_by_area(converted, source):
    scene, single = load(converted), blender.load(str(source), DataOptions())
    for i, (name, split) in enumerate(zip(scene.names, scene.split, strict=True)):
        d, camera = int(name[-1]), scene.camera(i)
        full = single.camera(single.names.index(f'{split}_r_{name[-4]}'))
        np.testing.assert_array_equal(camera.camera_to_world, full.camera_to_world)
        np.testing.assert_allclose(camera.camera_to_pixel[:2] * 2**d, full.camera_to_pixel[:2], rtol=1e-6)
        assert (camera.width * 2**d, camera.height * 2**d) == (full.width, full.height)
        assert (camera.near, camera.far) == (2, 6)
        assert scene.weights[i] == 4**d
    assert scene.weights.dtype == np.float32


def test_weights_and_range_follow_the_options(converted):
    np.testing.assert_array_equal(load(converted, area_weighting=False).weights, np.ones(24, np.float32), strict=True)
    scene = load(converted, near=0.5, far=9.0)
    assert (scene.cameras.near.tolist(), scene.cameras.far.tolist()) == ([0.5] * 24, [9.0] * 24)


def test_test_views_are_thinned_with_all_their_sizes(converted):
    scene = load(converted, test_every=2)
    assert [scene.stem(i) for i in scene.indices('test')] == [f'r_{i}_d{d}' for i in (0, 2) for d in range(4)]
    assert len(scene.indices('train')) == 8
    kept = set(multiscale_loader.sources(str(converted), DataOptions(test_every=2)))
    left_out = {str(converted / f'images_test/r_1_d{d}.png') for d in range(4)}
    assert kept == set(map(str, converted.rglob('*.*'))) - left_out


@pytest.mark.parametrize(('options', 'named'), [({'factor': 2}, 'factor=2'), ({'width': 16}, 'width=16')])
def test_other_sizes_are_refused(converted, options, named):
    with pytest.raises(UserError, match=rf'several sizes already, but data\.{named} was asked for'):
        load(converted, **options)


def test_the_file_is_laid_out_as_mip_nerf_reads_it(converted):
    content = json.loads((converted / 'metadata.json').read_text())
    assert set(content) == {'train', 'val', 'test'}
    train = content['train']
    assert {len(column) for column in train.values()} == {8}
    assert set(train) == {
        *('file_path', 'cam2world', 'width', 'height', 'focal', 'pix2cam', 'label', 'near', 'far', 'lossmult')
    }
    assert train['file_path'][3] == 'images_train/r_0_d3.png'
    assert (train['label'], train['lossmult']) == ([0, 1, 2, 3] * 2, [1, 4, 16, 64] * 2)
    # pix2cam takes (x + 0.5, y + 0.5, 1) of the last pixel to the direction of its ray, in OpenGL's axes.
    focal = 0.5 * 24 / np.tan(0.5 * ANGLE)
    direction = np.array(train['pix2cam'][0]) @ [23.5, 15.5, 1]
    np.testing.assert_allclose(direction, [11.5 / focal, -7.5 / focal, -1])
    assert train['focal'][2] == pytest.approx(focal / 4)


def test_a_file_of_mip_nerfs_own_script_gives_the_same_scene(converted):
    """It names images by number, indents, has whole numbers as floats, and writes no label that we would need."""
    expected = load(converted)
    content = json.loads((converted / 'metadata.json').read_text())
    for split, table in content.items():
        for i, path in enumerate(table['file_path']):
            table['file_path'][i] = f'images_{split}/{i // 4:03d}_d{i % 4}.png'
            (converted / path).rename(converted / table['file_path'][i])
        table['width'] = [float(width) for width in table['width']]
        del table['label']
    (converted / 'metadata.json').write_text(json.dumps(content, indent=4))
    scene = load(converted)
    assert scene.names[5] == 'train_001_d1'
    np.testing.assert_array_equal(scene.pixels, expected.pixels)
    jax.tree.map(np.testing.assert_array_equal, scene.cameras, expected.cameras)


def test_paper_data_are_what_its_script_made():
    straight = np.random.default_rng(0).integers(0, 256, (24, 40, 4), dtype=np.uint8)
    found, values = scales_paper(straight), straight.astype(np.float32) / 255
    for d in range(4):
        if d:
            height, width = values.shape[:2]
            values = values.reshape(height // 2, 2, width // 2, 2, 4).mean(axis=(1, 3))
        np.testing.assert_array_equal(found[d], np.uint8(values * 255), strict=True)
    # Straight colours: what is hidden under alpha 0 counts as much as what is seen, which darkens or lightens the seam.
    pixels = np.array([[[200, 0, 0, 255], [0, 0, 0, 0]] * 4] * 8, np.uint8)
    assert scales_paper(pixels)[1][0, 0].tolist() == [100, 0, 0, 127]
    assert scales(pixels)[1][0, 0].tolist() == [199, 0, 0, 128]  # 100 of 128: half of the light, rounded


def test_unpremultiplied_colours_load_as_what_they_were():
    colour, alpha = np.meshgrid(np.arange(256), np.arange(256))
    every = np.stack([colour, colour, colour, alpha], axis=-1).astype(np.uint8)[colour <= alpha]
    np.testing.assert_array_equal(premultiply(unpremultiply(every)), every, strict=True)


def test_a_folder_of_scenes_becomes_a_folder_of_scenes(source, tmp_path, capsys):
    (source.parent / 'notes').mkdir()
    out = tmp_path / 'several'
    main([f'--blender_dir={source.parent}', f'--out={out}', '--paper'])
    assert [path.name for path in out.iterdir()] == ['toy']
    assert capsys.readouterr().out == f'toy: 6 of 6 views\nwrote 24 images to {out}\n'
    scene = load(out / 'toy')
    np.testing.assert_array_equal(scene.image(3), premultiply(scales_paper(straight_image('train', 0))[3]))


def failing(sentence, *args):
    with pytest.raises(UserError, match=sentence) as caught:
        convert(*map(str, args))
    assert '\n' not in str(caught.value)


def test_what_cannot_be_converted_leaves_nothing(source, tmp_path):
    out = tmp_path / 'out'
    failing('nowhere: no such folder', tmp_path / 'nowhere', out)
    failing('found no transforms_train.json in it', source / 'train', out)
    failing('is not an empty folder', source, source.parent)
    Image.fromarray(np.zeros((12, 16, 4), np.uint8)).save(source / 'test' / 'r_1.png')
    failing(r'test/r_1\.png: found 16 x 12 px, expected multiples of 8', source, out)
    assert sorted(path.name for path in tmp_path.iterdir()) == ['blender']
    (tmp_path / 'file').write_text('')
    (source / 'test' / 'r_1.png').unlink()
    failing(r'file/out: cannot be written', source, tmp_path / 'file' / 'out')
    out.mkdir()
    failing(r'test/r_1\.png: no such image', source, out)
    assert list(out.iterdir()) == []


def test_an_interrupted_conversion_leaves_nothing(source, tmp_path, monkeypatch, capsys):
    def interrupted(*args):
        raise KeyboardInterrupt

    monkeypatch.setattr(multiscale, 'scales', interrupted)
    with pytest.raises(SystemExit) as caught:
        main([f'--blender_dir={source}', f'--out={tmp_path / "out"}'])
    assert caught.value.code == 130
    assert capsys.readouterr().err == 'interrupted\n'
    assert [path.name for path in tmp_path.iterdir()] == ['blender']


def change_entry(key, value, index=0):
    def change(content):
        content['train'][key][index] = value

    return change


def change_cell(key, row, column, value):
    def change(content):
        content['train'][key][0][row][column] = value

    return change


def test_files_written_on_windows_with_scaled_poses_and_no_test_views(converted, caplog):
    expected = load(converted)

    def change(content):
        for table in content.values():
            table['file_path'] = ['D:\\' + path.replace('/', '\\') for path in table['file_path']]
            for pose in table['cam2world']:
                pose[:3] = [[2 * x, 2 * y, 2 * z, position] for x, y, z, position in pose[:3]]
        content['test'] = {key: [] for key in content['test']}

    content = json.loads((converted / 'metadata.json').read_text())
    change(content)
    (converted / 'metadata.json').write_text(json.dumps(content))
    scene = load(converted)
    kept = [i for i, split in enumerate(expected.split) if split != 'test']
    assert scene.names == tuple(expected.names[i] for i in kept)
    np.testing.assert_allclose(scene.cameras.camera_to_world, expected.cameras.camera_to_world[kept], atol=1e-6)
    moved, straightened = [record.getMessage() for record in caplog.records]
    assert moved.startswith(f'{converted}/metadata.json: {len(kept)} of its paths lead elsewhere')
    assert straightened.endswith(f'{len(kept)} of {len(kept)} poses are rotations times a scale, 2, which is divided out')


MISTAKES = {
    'no training split': (lambda c: c.pop('train'), 'metadata.json, train: found no lists'),
    'no list of files': (lambda c: c['train'].update(file_path='d0.png'), 'train: expected a list file_path'),
    'no images': (lambda c: c['train'].update(file_path=[]), 'train: expected a list file_path'),
    'too few': (lambda c: c['train']['focal'].pop(), r'train: focal: expected numbers of shape \(8,\), found float64 \(7,\)'),
    'missing': (lambda c: c['train'].pop('pix2cam'), r'train: pix2cam: expected numbers of shape \(8, 3, 3\)'),
    'ragged': (lambda c: c['train']['cam2world'][1][1].pop(), r'train: cam2world: expected numbers of shape \(8, 4, 4\)'),
    'text': (change_entry('near', '2'), 'train: near: expected numbers'),
    'nan': (change_entry('lossmult', float('nan')), 'train: lossmult: has a value that is not finite'),
    'infinity': (change_cell('cam2world', 0, 3, 1e999), 'train: cam2world: has a value that is not finite'),
    'half pixels': (change_entry('width', 24.5), r'images_train/r_0_d0\.png: found 24.5 x 16 px'),
    'no focal length': (change_entry('focal', 0), 'focal 0, expected whole and positive'),
    'last row': (change_cell('cam2world', 3, 3, 2.0), 'the last row of cam2world'),
    'not a rotation': (change_cell('cam2world', 0, 2, 2.0), r'train_r_0_d0 in .*metadata\.json.*not a rotation'),
    'another lens': (change_cell('pix2cam', 0, 2, 0.1), 'pix2cam is not what focal, width and height say'),
    'range': (change_entry('near', 7), r'train_r_0_d0 in .*near 7\.0 and far 6\.0'),
    'weight': (change_entry('lossmult', -4.0), r'metadata\.json: image train_r_0_d0: weight -4\.0'),
    'another image': (change_entry('file_path', 'images_test/r_0_d2.png'), r'found 4 x 4 px, expected 24 x 16'),
    'missing image': (change_entry('file_path', 'images_train/none.png'), r'none\.png: no such image'),
    'above': (change_entry('file_path', '../blender/toy/train/r_0.png'), 'leaves the scene folder'),
    'absolute': (change_entry('file_path', '/etc/passwd'), 'etc/passwd: no such image file'),
    'twice': (change_entry('file_path', 'images_train/r_0_d1.png'), 'lists an image twice'),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_mistakes_in_the_file_are_named_in_one_sentence(converted, mistake):
    change, sentence = MISTAKES[mistake]
    content = json.loads((converted / 'metadata.json').read_text())
    change(content)
    (converted / 'metadata.json').write_text(json.dumps(content))
    with pytest.raises(UserError, match=sentence) as caught:
        load(converted)
    assert '\n' not in str(caught.value)


def test_how_such_a_folder_is_recognised(converted, tmp_path):
    assert multiscale_loader.holds(str(converted))
    assert not multiscale_loader.holds(str(tmp_path))
    (converted / 'metadata.json').write_text('{"train": ')  # cut short: its reader is to say so
    assert multiscale_loader.holds(str(converted))
    with pytest.raises(UserError, match='not valid JSON'):
        load(converted)
    (converted / 'metadata.json').write_text('{"000001": {"warp_id": 1}}')  # some other data's
    assert not multiscale_loader.holds(str(converted))
    (converted / 'metadata.json').unlink()
    with pytest.raises(UserError, match=r'metadata\.json: no such file'):
        load(converted)
