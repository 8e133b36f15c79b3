import json
import shutil

import jax
import numpy as np
import pytest
from PIL import Image
from written_photos import built_in, intrinsics_of, write_images, write_transforms

from nerf.data import formats
from nerf.data.formats import transforms
from nerf.data.images import premultiply, shrink
from nerf.data.options import DataOptions
from nerf.errors import UserError

AS_THEY_ARE = DataOptions(normalise=False)
NAMES = [f'images/r_{i}.png' for i in range(9)]
INTRINSICS = ('fl_x', 'fl_y', 'cx', 'cy', 'w', 'h')


@pytest.fixture
def folder(tmp_path):
    """Nine images of nine cameras, each frame with its own intrinsics."""
    cameras, images = built_in()
    write_images(tmp_path, NAMES, images)
    write_transforms(tmp_path / 'transforms.json', cameras, NAMES)
    return tmp_path


def edit(folder, change, name='transforms.json'):
    path = folder / name
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def each_frame(change):
    def change_all(content):
        for frame in content['frames']:
            change(frame)

    return change_all


def without(*keys):
    return each_frame(lambda frame: [frame.pop(key) for key in keys])


def load(folder, options=AS_THEY_ARE):
    return transforms.load(str(folder), options)


def number_of(name):
    return int(name.rpartition('_')[2])


def assert_same_cameras(scene):
    """Each camera and image is the one that was written under its name."""
    cameras, images = built_in()
    for i, name in enumerate(scene.names):
        expected = jax.tree.map(lambda field, name=name: field[number_of(name)], cameras)
        for field in ('camera_to_world', 'camera_to_pixel', 'width', 'height'):
            np.testing.assert_allclose(getattr(scene.camera(i), field), getattr(expected, field), atol=1e-5, err_msg=name)
        np.testing.assert_array_equal(scene.image(i), premultiply(images[number_of(name)]))


def test_cameras_and_pixels_come_back(folder):
    scene = load(folder)
    assert scene.names == ('test_r_0', *(f'train_r_{i}' for i in range(1, 8)), 'test_r_8')
    assert scene.split == ('test', *['train'] * 7, 'test')
    assert_same_cameras(scene)
    assert scene.cameras.lens is None
    assert len(set(scene.cameras.width.tolist())) == 5


def test_paths_may_start_with_a_dot_lack_their_ending_and_hold_others(folder):
    (folder / 'images' / 'r_1.png').rename(folder / 'images' / 'at_1.25_1.JPG')
    (folder / 'images' / 'r_2.png').rename(folder / 'images' / 'at_2.75.png')
    shutil.copy(folder / 'images' / 'r_8.png', folder / 'images' / 'at_2.png')  # not what at_2.75 means

    def change(content):
        paths = {'images/r_1.png': './images/at_1.25_1', 'images/r_2.png': 'images/at_2.75', 'images/r_3.png': './images//r_3'}
        for frame in content['frames']:
            frame['file_path'] = paths.get(frame['file_path'], frame['file_path'])
            del frame['transform_matrix'][3]  # 3 rows do

    edit(folder, change)
    scene = load(folder)
    assert scene.names[:3] == ('test_at_1.25_1', 'train_at_2.75', 'train_r_0')
    np.testing.assert_array_equal(scene.image(1), premultiply(built_in()[1][2]))
    assert scene.names[3] == 'train_r_3'


def test_intrinsics_of_the_file_hold_for_frames_without_their_own(folder):
    cameras, images = built_in()
    write_images(folder, NAMES, [images[0]] * 9)
    edit(folder, without(*INTRINSICS))
    edit(folder, lambda content: content.update(intrinsics_of(cameras, 0)))
    # Half as large an image, said by its frame: its focal length and centre come from the file and are then not scaled.
    Image.fromarray(images[0][:6, :6]).save(folder / NAMES[5])
    edit(folder, lambda content: content['frames'][-6].update(file_path=NAMES[5], w=6, h=6))
    scene = load(folder)
    lenses = np.tile(cameras.camera_to_pixel[0], (9, 1, 1))
    np.testing.assert_allclose(scene.cameras.camera_to_pixel, lenses, atol=1e-5)
    assert scene.cameras.width.tolist() == [12] * 5 + [6] + [12] * 3


def test_sizes_and_centres_that_are_not_said_are_the_images(folder):
    edit(folder, without('w', 'h', 'cx', 'cy'))
    cameras, scene = built_in()[0], load(folder)
    np.testing.assert_array_equal(scene.cameras.width, cameras.width)
    np.testing.assert_allclose(scene.cameras.camera_to_pixel[:, 0, 2], cameras.width / 2)
    np.testing.assert_allclose(scene.cameras.camera_to_pixel[:, 1, 2], cameras.height / 2)
    np.testing.assert_allclose(scene.cameras.camera_to_pixel[:, 0, 0], cameras.camera_to_pixel[:, 0, 0], rtol=1e-6)


def test_lenses_are_of_the_file_or_of_a_frame(folder):
    edit(folder, lambda content: content.update(k1=0.1, p1=0.2, camera_model='OPENCV'))
    edit(folder, lambda content: content['frames'][-1].update(camera_model='OPENCV_FISHEYE', k4=0.4))  # of r_0
    found = load(folder).cameras.lens
    assert found.is_fisheye.tolist() == [1] + [0] * 8
    np.testing.assert_allclose(found.coefficients[0], [0.1, 0, 0, 0.4, 0, 0, 0, 0], rtol=1e-6)
    np.testing.assert_allclose(found.coefficients[1:], np.tile([0.1, 0, 0.2, 0, 0, 0, 0, 0], (8, 1)), rtol=1e-6)


def test_missing_images_are_left_out_with_one_warning(folder, caplog):
    for i in (1, 4):
        (folder / NAMES[i]).unlink()
    scene = load(folder)
    assert [number_of(name) for name in scene.names] == [0, 2, 3, 5, 6, 7, 8]
    assert scene.split.count('test') == 1  # every eighth of those that are there
    assert_same_cameras(scene)
    assert [record.getMessage() for record in caplog.records] == [
        f'{folder}/transforms.json: 2 of 9 images are missing and left out, images/r_1.png first'
    ]
    shutil.rmtree(folder / 'images')
    (folder / 'images').mkdir()
    Image.new('RGB', (2, 2)).save(folder / 'images' / 'other.png')
    with pytest.raises(UserError, match=r'transforms\.json: none of its 9 images is there, images/r_0\.png first'):
        load(folder)


def test_lists_of_the_file_say_the_splits(folder):
    lists = {'train_filenames': NAMES[:5], 'val_filenames': ['./images/r_5.png', NAMES[6]], 'test_filenames': NAMES[6:8]}
    edit(folder, lambda content: content.update(lists))
    scene = load(folder)
    assert scene.names == (*(f'train_r_{i}' for i in range(5)), 'val_r_5', 'test_r_6', 'test_r_7')
    assert_same_cameras(scene)
    thin_points = load(folder, DataOptions(normalise=False, test_every=2))
    assert thin_points.names == scene.names[:7]


def test_frames_of_scannetpp_say_what_is_tested_and_what_is_bad(folder, caplog):
    def change(content):
        content['frames'][3]['is_bad'] = True  # of r_5
        content['frames'][4].update(is_bad=True, transform_matrix=[[float('inf')] * 4] * 4)  # of r_4
        content['frames'][5]['is_bad'] = False
        content['test_frames'] = [content['frames'].pop(0), dict(content['frames'][0])]  # r_8, and r_7, which is in both

    edit(folder, change)
    scene = load(folder)
    assert scene.names == (*(f'train_r_{i}' for i in (0, 1, 2, 3, 6)), 'test_r_7', 'test_r_8')
    assert_same_cameras(scene)
    load(folder)
    transforms.sources(str(folder), AS_THEY_ARE)
    assert [record.getMessage() for record in caplog.records] == [
        f'{folder}/transforms.json: 2 of 9 frames are marked is_bad and left out, images/r_4.png first'
    ]
    lists = {'train_filenames': [NAMES[0], NAMES[4]], 'val_filenames': [NAMES[1]]}
    edit(folder, lambda content: content.update(lists))
    assert load(folder).names == ('train_r_0', 'val_r_1', 'test_r_7', 'test_r_8')


def test_paths_and_lists_are_those_of_other_machines(folder, caplog):
    (folder / 'images' / 'r_2.png').rename(folder / 'images' / 'r_2.JPG')

    def change(content):
        for frame in content['frames']:
            frame['file_path'] = 'D:\\my scene\\' + frame['file_path'].replace('/', '\\')
        content['train_filenames'] = [f'/home/me/images/r_{i}' for i in range(7)]
        content['test_filenames'] = ['.\\images\\r_7.png', f'{folder}/images/r_8.png']

    edit(folder, change)
    scene = load(folder)
    assert scene.names == (*(f'train_r_{i}' for i in range(7)), 'test_r_7', 'test_r_8')
    assert_same_cameras(scene)
    assert len(caplog.records) == 1
    assert 'of its paths lead elsewhere' in caplog.text
    write_images(folder, [name.replace('images', 'images_2') for name in NAMES], [shrink(i, 5) for i in built_in()[1]])
    shutil.rmtree(folder / 'images')
    assert load(folder).names == scene.names


def test_sizes_of_no_whole_pixels_are_rounded_and_intrinsics_scaled(folder):
    def change(frame):
        frame.update({key: frame[key] * 1.03 for key in INTRINSICS})

    edit(folder, each_frame(change))
    assert_same_cameras(load(folder))


def test_scaled_rotations_and_empty_lists(folder, caplog):
    cameras, _ = built_in()
    three = cameras.at(np.arange(3))
    large = three.replace(camera_to_world=three.camera_to_world * np.array([2.0, 2, 2, 1], np.float32))
    write_transforms(folder / 'transforms_train.json', large, NAMES[:3])
    for split in ('val', 'test'):
        (folder / f'transforms_{split}.json').write_text('{"frames": []}')
    scene = load(folder)
    assert scene.names == ('train_r_0', 'train_r_1', 'train_r_2')
    assert_same_cameras(scene)
    assert [record.getMessage() for record in caplog.records] == [
        f'{folder}: 3 of 3 poses are rotations times a scale, 2, which is divided out'
    ]


def test_intrinsics_of_another_size_without_a_size_are_warned_of(folder, caplog):
    edit(folder, without('w', 'h', 'cx', 'cy'))
    load(folder)
    edit(folder, each_frame(lambda frame: frame.update(cx=3, cy=5)))  # is off the centre by other ratios in each axis
    load(folder)
    assert not caplog.records
    sizes = {name: image.shape[1::-1] for name, image in zip(NAMES, built_in()[1], strict=True)}

    def halve(frame):
        width, height = sizes[frame['file_path']]
        frame.update(cx=width / 4, cy=height / 4)

    edit(folder, each_frame(halve))
    load(folder)
    assert len(caplog.records) == 1
    assert '3, 3 px first, are those of an image of 6 x 6 px, but images have 12 x 12 px' in caplog.text


def test_files_for_each_split_with_intrinsics_are_read_here_and_blenders_there(folder, tmp_path):
    cameras, _ = built_in()
    for split, chosen in {'train': [3, 1, 2], 'val': [5, 6], 'test': [6, 7, 3]}.items():
        some = jax.tree.map(lambda field: field[np.array(chosen)], cameras)  # noqa: B023
        lists = {'test_filenames': ['images/r_1.png']}  # which the files themselves overrule
        write_transforms(folder / f'transforms_{split}.json', some, [NAMES[i] for i in chosen], **lists)
    assert formats.detect_format(str(folder)) == 'transforms'
    scene = load(folder)
    # What is tested on is not trained on.
    assert scene.names == ('train_r_1', 'train_r_2', 'test_r_3', 'val_r_5', 'test_r_6', 'test_r_7')
    assert_same_cameras(scene)
    for split in ('train', 'val', 'test'):
        edit(folder, without(*INTRINSICS), f'transforms_{split}.json')
    assert formats.detect_format(str(folder)) == 'blender'
    for split, frame in (('train', -1), ('test', 1)):  # any frame of any split
        edit(folder, lambda content: content['frames'][frame].update(fl_x=9.0), f'transforms_{split}.json')  # noqa: B023
        assert formats.detect_format(str(folder)) == 'transforms'
        edit(folder, lambda content: content['frames'][frame].pop('fl_x'), f'transforms_{split}.json')  # noqa: B023
    (folder / 'transforms_train.json').write_text('{"fl_x"')
    assert formats.detect_format(str(folder)) == 'blender'  # which says what is wrong
    (folder / 'transforms_train.json').unlink()
    assert formats.detect_format(str(folder)) == 'transforms'


def test_smaller_images_are_taken_where_they_are(folder):
    cameras, images = built_in()
    halves = [shrink(image, image.shape[1] // 2) for image in images]
    halves[0][..., :3] = 0  # told apart from what shrinking would make
    write_images(folder, [name.replace('images', 'images_2') for name in NAMES], halves)
    scene = load(folder, DataOptions(factor=2, normalise=False))
    assert scene.image(0)[..., :3].max() == 0
    for i, half in enumerate(halves):
        height, width = half.shape[:2]
        assert (scene.cameras.width[i], scene.cameras.height[i]) == (width, height)
        ratio = np.array([width / cameras.width[i], height / cameras.height[i], 1])[:, None]
        np.testing.assert_allclose(scene.cameras.camera_to_pixel[i], ratio * cameras.camera_to_pixel[i], rtol=1e-6)
    shutil.rmtree(folder / 'images')
    assert load(folder).image(0)[..., :3].max() == 0  # they say w and h, so the full size need not be there
    edit(folder, without('w', 'h'))
    with pytest.raises(UserError, match='none of its 9 images is there'):
        load(folder)


def test_images_elsewhere_are_shrunk(folder):
    (folder / 'images').rename(folder / 'photos')
    edit(folder, each_frame(lambda frame: frame.update(file_path=frame['file_path'].replace('images', './photos'))))
    _, images = built_in()
    np.testing.assert_array_equal(load(folder, DataOptions(factor=2, normalise=False)).image(0), shrink(images[0], 6))


def test_unbounded_cameras_fill_their_cube(folder):
    cameras = load(folder, DataOptions(scene_type='unbounded')).cameras
    assert abs(np.abs(cameras.camera_to_world[:, :, 3]).max() - 1) < 1e-5
    assert 0 < cameras.near[0] < 1 < 100 < cameras.far[0]


def matrix(**cells):
    def change(content):
        for cell, value in cells.items():
            content['frames'][0]['transform_matrix'][int(cell[1])][int(cell[2])] = value

    return change


def frame(**fields):
    return lambda content: content['frames'][0].update(fields)


MISTAKES = {
    'no focal length': (without('fl_x', 'fl_y'), r"transforms\.json, frame 'images/r_0\.png': expected a focal length fl_x"),
    'no frames': (lambda c: c.pop('frames'), r'transforms\.json: expected a list "frames"'),
    'no path': (lambda c: c['frames'][3].pop('file_path'), 'frame 3 lacks'),
    'no pose': (lambda c: c['frames'][3].pop('transform_matrix'), 'frame 3 lacks'),
    'text in intrinsics': (frame(fl_x='9'), r"r_8\.png': found fl_x '9', expected a number"),
    'other shape': (frame(w=80), r'r_8\.png: found 8 x 10 px, expected the shape of its camera, 80 x 10'),
    'nan in pose': (matrix(_03=float('nan')), r'r_8\.png in .*transforms\.json.*not finite'),
    'scaled in one axis': (matrix(_00=2.0), r'r_8\.png in .*transforms\.json.*not a rotation'),
    'last row': (matrix(_33=2.0), 'last row'),
    'ragged': (lambda c: c['frames'][0]['transform_matrix'][1].pop(), '4 rows of 4'),
    'text in pose': (matrix(_00='0'), '4 rows of 4'),
    'above': (frame(file_path='../r_0.png'), 'leaves the scene folder'),
    'around': (frame(file_path='images/../../r_0.png'), 'leaves the scene folder'),
    'twice': (frame(file_path='./images/r_0.png'), r"r_0\.png': is listed twice"),
    'twice without ending': (frame(file_path='images/r_0', w=12, h=12), r"frame 'images/r_0\.png': is listed twice"),
    'split of numbers': (lambda c: c.update(test_filenames=[1]), 'test_filenames is not a list of paths'),
    'split of no frame': (
        lambda c: c.update(train_filenames=['images/r_9.png']),
        r"lists 'images/r_9\.png' for train, but has no",
    ),
    'split above': (lambda c: c.update(val_filenames=['../r_0.png']), 'leaves the scene folder'),
    'other size': (frame(cx=9), r'r_8\.png in .*: the principal point 9, .* outside of the image of 8 x 10 px'),
    'test frames': (lambda c: c.update(test_frames=[{}]), 'frame 0 lacks file_path'),
    'no list of test frames': (lambda c: c.update(test_frames={}), 'expected a list "test_frames"'),
    'all bad': (each_frame(lambda f: f.update(is_bad=True)), 'none of its frames is of a split, or all are marked is_bad'),
    'all held out': (lambda c: c.update(test_filenames=NAMES), 'no training image'),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_mistakes_are_named_in_one_sentence(folder, mistake):
    change, sentence = MISTAKES[mistake]
    edit(folder, change)
    with pytest.raises(UserError, match=sentence) as caught:
        load(folder)
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('text', ['', '{"frames": ', '[]', '[' * 100_000, b'\xff\xfe'])
def test_what_is_not_json_is_refused(folder, text):
    (folder / 'transforms.json').write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=r'transforms\.json'):
        load(folder)


def test_missing_folder_and_file(folder):
    with pytest.raises(UserError, match='nowhere: no such folder'):
        load(folder / 'nowhere')
    (folder / 'transforms.json').unlink()
    with pytest.raises(UserError, match=r'transforms\.json: no such file'):
        load(folder)


def test_rotations_that_are_a_thousandth_off_are_used(folder):
    edit(folder, each_frame(lambda frame: frame['transform_matrix'][0].__setitem__(0, frame['transform_matrix'][0][0] + 3e-4)))
    assert len(load(folder).names) == 9


def test_sources_are_the_files_that_are_read(folder, caplog):
    (folder / 'images' / 'other.png').write_bytes(b'not read')
    (folder / NAMES[2]).unlink()
    expected = sorted(str(folder / name) for name in ['transforms.json', *NAMES] if name != NAMES[2])
    assert transforms.sources(str(folder), AS_THEY_ARE) == expected
    assert not caplog.records
