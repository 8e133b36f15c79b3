import json

import numpy as np
import pytest

from nerf.data.formats import blender
from nerf.data.images import premultiply
from nerf.data.options import DataOptions
from nerf.errors import UserError


def edit(folder, change, split='train'):
    path = folder / f'transforms_{split}.json'
    content = json.loads(path.read_text())
    change(content)
    path.write_text(json.dumps(content))


def test_images_are_joined_to_poses_by_name(blender_folder, written):
    scene = blender.load(str(blender_folder), DataOptions())
    assert scene.names[:3] == ('train_r_1', 'train_r_0', 'val_r_0')
    assert scene.split == ('train',) * 2 + ('val',) + ('test',) * 5
    for i, (name, split) in enumerate(zip(scene.names, scene.split, strict=True)):
        number = int(name[-1])
        np.testing.assert_array_equal(scene.image(i), premultiply(written.image(split, number)))
        np.testing.assert_array_equal(scene.camera(i).camera_to_world, written.pose(split, number)[:3].astype(np.float32))


def test_focal_length_is_of_each_images_own_width(blender_folder, written):
    cameras = blender.load(str(blender_folder), DataOptions()).cameras
    for i, (width, height) in enumerate([(9, 7), (12, 8)]):
        focal = 0.5 * width / np.tan(0.5 * written.angle)
        expected = [[focal, 0, width / 2], [0, focal, height / 2], [0, 0, 1]]
        np.testing.assert_allclose(cameras.camera_to_pixel[i], expected, rtol=1e-6)
        assert (cameras.width[i], cameras.height[i]) == (width, height)
    assert (cameras.near == 2).all()
    assert (cameras.far == 6).all()


def test_shrunk_intrinsics_follow_the_real_sizes_of_each_axis(blender_folder, written):
    cameras = blender.load(str(blender_folder), DataOptions(factor=2)).cameras
    # 9 x 7 becomes 4 x round(7 * 4 / 9) = 4 x 3
    focal = 0.5 * 9 / np.tan(0.5 * written.angle)
    np.testing.assert_allclose(
        cameras.camera_to_pixel[0], [[focal * 4 / 9, 0, 2], [0, focal * 3 / 7, 1.5], [0, 0, 1]], rtol=1e-6
    )
    assert (cameras.width[0], cameras.height[0]) == (4, 3)


def test_options_for_range_and_test_images(blender_folder):
    scene = blender.load(str(blender_folder), DataOptions(near=0.5, far=9.0, test_every=2))
    assert scene.names[3:] == ('test_r_4', 'test_r_2', 'test_r_0')  # the json lists 4, 3, 2, 1, 0
    assert (scene.cameras.near == 0.5).all()
    assert (scene.cameras.far == 9).all()


def test_val_and_test_may_be_missing(blender_folder):
    for split in ('val', 'test'):
        (blender_folder / f'transforms_{split}.json').unlink()
    assert blender.load(str(blender_folder), DataOptions()).split == ('train', 'train')


def test_empty_lists_of_val_and_test_are_no_views(blender_folder):
    for split in ('val', 'test'):
        edit(blender_folder, lambda c: c.update(frames=[]), split)
    assert blender.load(str(blender_folder), DataOptions()).split == ('train', 'train')


def test_a_frames_own_angle_of_view_wins(blender_folder, written):
    edit(blender_folder, lambda c: c['frames'][1].update(camera_angle_x=0.5, w=5, h=5))  # of r_0; square pixels need no size
    edit(blender_folder, lambda c: c['frames'][0].update(x_fov=40.0), 'test')
    edit(blender_folder, lambda c: [c.pop('camera_angle_x'), c['frames'][0].update(camera_angle_y=0.5)], 'val')
    lenses = blender.load(str(blender_folder), DataOptions()).cameras.camera_to_pixel
    angles = [written.angle, 0.5, np.radians(40), written.angle]
    focals = [0.5 * width / np.tan(0.5 * angle) for width, angle in zip([9, 12, 8, 8], angles, strict=True)]
    np.testing.assert_allclose(lenses[[0, 1, 3, 4], 0, 0], focals, rtol=1e-6)
    np.testing.assert_allclose(lenses[[0, 1, 3, 4], 1, 1], focals, rtol=1e-6)
    np.testing.assert_allclose(lenses[2, [0, 1], [0, 1]], 0.5 * 8 / np.tan(0.25), rtol=1e-6)


def test_intrinsics_are_used_if_the_format_is_named(blender_folder):
    edit(blender_folder, lambda c: c.update(fl_x=18, fl_y=20, cx=4, cy=6, w=24, h=16))
    edit(blender_folder, lambda c: c['frames'][0].update(w=18, h=14))  # of r_1, twice as large
    lenses = blender.load(str(blender_folder), DataOptions()).cameras.camera_to_pixel
    np.testing.assert_allclose(lenses[:2], np.tile([[9, 0, 2], [0, 10, 3], [0, 0, 1]], (2, 1, 1)))


def test_rotations_lose_their_scale(blender_folder, written, caplog):
    def enlarge(content):
        for frame in content['frames']:
            matrix = np.array(frame['transform_matrix'])
            matrix[:3, :3] *= 4
            frame['transform_matrix'] = matrix.tolist()

    edit(blender_folder, enlarge, 'test')
    scene = blender.load(str(blender_folder), DataOptions())
    expected = [written.pose(split, int(name[-1]))[:3] for name, split in zip(scene.names, scene.split, strict=True)]
    np.testing.assert_allclose(scene.cameras.camera_to_world, expected, rtol=1e-6)
    assert [record.getMessage() for record in caplog.records] == [
        f'{blender_folder}: 5 of 8 poses are rotations times a scale, 4, which is divided out'
    ]


def test_paths_are_those_of_other_machines(blender_folder, written, caplog):
    (blender_folder / 'train' / 'r_0.png').rename(blender_folder / 'train' / 'r_0.JPG')
    edit(blender_folder, lambda c: [f.update(file_path=f['file_path'].replace('./', 'D:\\lego\\')) for f in c['frames']])
    edit(
        blender_folder, lambda c: [f.update(file_path=f['file_path'].replace('./', '/mnt/lego/')) for f in c['frames']], 'test'
    )
    scene = blender.load(str(blender_folder), DataOptions())
    assert scene.names == ('train_r_1', 'train_r_0', 'val_r_0', *(f'test_r_{i}' for i in range(4, -1, -1)))
    np.testing.assert_array_equal(scene.image(1), premultiply(written.image('train', 0)))
    assert len(caplog.records) == 1
    assert '7 of its paths lead elsewhere' in caplog.text
    assert str(blender_folder / 'train' / 'r_0.JPG') in blender.sources(str(blender_folder), DataOptions())


def test_endings_and_repeated_file_names(blender_folder):
    (blender_folder / 'train' / 'r_1.png').rename(blender_folder / 'val' / 'r_7.PNG')
    (blender_folder / 'train' / 'r_0.png').rename(blender_folder / 'train' / 'r_7.png')
    edit(blender_folder, lambda c: c['frames'][0].update(file_path='val/r_7.PNG'))
    edit(blender_folder, lambda c: c['frames'][1].update(file_path='./train/r_7'))
    scene = blender.load(str(blender_folder), DataOptions())
    assert scene.names[:2] == ('train_val_r_7', 'train_train_r_7')
    assert scene.cameras.width[:2].tolist() == [9, 12]


def matrix(**cells):
    def change(content):
        for cell, value in cells.items():
            content['frames'][0]['transform_matrix'][int(cell[1])][int(cell[2])] = value

    return change


def frame(**fields):
    return lambda content: content['frames'][0].update(fields)


MISTAKES = {
    'angle missing': (
        lambda c: c.pop('camera_angle_x'),
        'train_r_1 in .*transforms_train.json: expected a focal .*camera_angle_x',
    ),
    'angle of a frame': (
        lambda c: c['frames'][0].update(camera_angle_x=4),
        'train_r_1 in .*: found camera_angle_x 4, expected',
    ),
    'distorted': (lambda c: c.update(k1=0.1), 'train_r_1 in .*: found a distorted image.*data.format=transforms'),
    'no centre': (
        lambda c: c.update(cx=90),
        'train_r_1 in .*: the principal point 90, 3.5 px lies outside of the image of 9 x 7',
    ),
    'angle text': (lambda c: c.update(camera_angle_x='0.8'), "camera_angle_x '0.8'"),
    'angle nan': (lambda c: c.update(camera_angle_x=float('nan')), 'camera_angle_x nan'),
    'no frames': (lambda c: c.pop('frames'), 'transforms_train.json: expected a list "frames"'),
    'empty': (lambda c: c.update(frames=[]), 'transforms_train.json: expected a list "frames"'),
    'no path': (lambda c: c['frames'][0].pop('file_path'), 'transforms_train.json: frame 0 lacks'),
    'no pose': (lambda c: c['frames'][0].pop('transform_matrix'), 'transforms_train.json: frame 0 lacks'),
    '2 rows': (
        lambda c: c['frames'][0].update(transform_matrix=[[1.0, 0.0, 0.0, 0.0]] * 2),
        'transforms_train.json.*r_1.*4 rows of 4',
    ),
    'ragged': (lambda c: c['frames'][0]['transform_matrix'][1].pop(), 'transforms_train.json.*r_1.*4 rows of 4'),
    'text in pose': (matrix(_00='0'), 'transforms_train.json.*r_1.*4 rows of 4'),
    'null in pose': (matrix(_00=None), 'transforms_train.json.*r_1.*4 rows of 4'),
    'nan in pose': (matrix(_03=float('nan')), 'train_r_1 in .*transforms_train.json.*not finite'),
    'infinity': (matrix(_03=1e999), 'train_r_1 in .*transforms_train.json.*not finite'),
    'last row': (matrix(_33=2.0), 'transforms_train.json.*last row'),
    'scaled in one axis': (matrix(_02=2.0), 'train_r_1 in .*transforms_train.json.*not a rotation'),
    'mirrored': (matrix(_02=-1.0), 'train_r_1 in .*transforms_train.json.*not a rotation'),
    'missing image': (frame(file_path='train/none'), 'train/none.png: no such image'),
    'above': (frame(file_path='../scene/train/r_0'), 'transforms_train.json.*leaves the scene folder'),
    'absolute': (frame(file_path='/etc/passwd'), 'scene/etc/passwd.png: no such image'),
    'around': (frame(file_path='train/../../scene/train/r_0'), 'transforms_train.json.*leaves the scene folder'),
    'twice': (frame(file_path='train/r_0'), 'transforms_train.json: lists an image twice'),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_mistakes_are_named_in_one_sentence(blender_folder, mistake):
    change, sentence = MISTAKES[mistake]
    edit(blender_folder, change)
    with pytest.raises(UserError, match=sentence) as caught:
        blender.load(str(blender_folder), DataOptions())
    assert '\n' not in str(caught.value)


@pytest.mark.parametrize('text', ['', '{"frames": ', '[]', '[' * 100_000, b'\xff\xfe'])
def test_what_is_not_json_is_refused(blender_folder, text):
    (blender_folder / 'transforms_test.json').write_bytes(text if isinstance(text, bytes) else text.encode())
    with pytest.raises(UserError, match=r'transforms_test\.json'):
        blender.load(str(blender_folder), DataOptions())


def test_missing_folder_json_and_damaged_image(blender_folder):
    with pytest.raises(UserError, match='nowhere: no such folder'):
        blender.load(str(blender_folder / 'nowhere'), DataOptions())
    image = blender_folder / 'test' / 'r_3.png'
    image.write_bytes(image.read_bytes()[:70])
    with pytest.raises(UserError, match=r'test/r_3\.png: cannot be read'):
        blender.load(str(blender_folder), DataOptions())
    (blender_folder / 'transforms_train.json').unlink()
    with pytest.raises(UserError, match=r'transforms_train\.json: no such file'):
        blender.load(str(blender_folder), DataOptions())


def test_near_beyond_far_is_refused(blender_folder):
    with pytest.raises(UserError, match=r'near 7\.0 and far 6\.0'):
        blender.load(str(blender_folder), DataOptions(near=7.0))


def test_sources_are_the_files_that_are_read(blender_folder):
    (blender_folder / 'train' / 'r_0_depth.png').write_bytes(b'not read')
    found = blender.sources(str(blender_folder), DataOptions())
    expected = [p for p in sorted(blender_folder.rglob('*')) if p.is_file() and 'depth' not in p.name]
    assert sorted(map(str, expected)) == found
