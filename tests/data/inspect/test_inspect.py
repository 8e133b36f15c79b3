import dataclasses
import json

import numpy as np
import pytest
from PIL import Image
from written import front_scene, small_scene, write_deepvoxels, write_llff

from nerf.data import procedural
from nerf.data.inspect.__main__ import inspect, main
from nerf.data.inspect.checks import geometry_warnings, photo_warnings
from nerf.data.inspect.measures import depths_in_view, layout, mean_luminance, measure_photo, measure_photos, to_neighbours
from nerf.data.inspect.picture import COLOURS, frustums, limits, save_picture
from nerf.data.inspect.report import Source, angles_of_view, file_warnings, how_split, lens_model, page, short_form
from nerf.data.options import DataOptions
from nerf.data.scene import make_scene, stack_cameras
from nerf.ray.lenses import Lens

OBJECT, UNBOUNDED = DataOptions(), DataOptions(scene_type='unbounded')
BUILT_IN = Source('procedural', '', OBJECT)


@pytest.fixture(scope='module')
def clean():
    return procedural.load(48)


def ring(degrees, split, distance=4.0):
    """Cameras around the z axis, level, looking inwards, with plain grey images; near 2, far 6, 90 degrees of view."""
    angles = np.radians(degrees)
    zero, one = np.zeros_like(angles), np.ones_like(angles)
    back = np.stack([np.cos(angles), np.sin(angles), zero], 1)
    right = np.stack([-np.sin(angles), np.cos(angles), zero], 1)
    poses = np.stack([right, np.stack([zero, zero, one], 1), back, distance * back], 2)
    count = len(degrees)
    cameras = stack_cameras(poses, np.tile([[4.0, 0, 4], [0, 4, 4], [0, 0, 1]], (count, 1, 1)), np.full((count, 2), 8), 2, 6)
    names = [f'{of}_{angle:03d}' for of, angle in zip(split, degrees, strict=True)]
    return make_scene(names, split, [np.full((8, 8, 4), 255, np.uint8)] * count, cameras)


def with_images(scene, change):
    """The scene with `change` {index: function of a float image} applied to some images."""
    images = [scene.image(i).copy() for i in range(len(scene.names))]
    for i, function in change.items():
        images[i] = np.rint(function(images[i].astype(np.float32))).astype(np.uint8)
    return dataclasses.replace(scene, pixels=np.concatenate([image.reshape(-1, 4) for image in images]))


def blurred(image):
    for _ in range(2):
        for axis in (0, 1):
            image = sum(np.roll(image, shift, axis) for shift in (-1, 0, 1)) / 3
    return image


def overexposed(image):
    return np.concatenate([np.minimum(image[..., :3] * 1.8, image[..., 3:]), image[..., 3:]], axis=-1)


def opaque_on(colour):
    return lambda image: np.concatenate([image[..., :3] + (255 - image[..., 3:]) * colour / 255, 0 * image[..., 3:] + 255], -1)


def test_a_clean_scene_has_no_warnings_and_its_own_numbers(clean):
    text, warnings = inspect(clean, BUILT_IN)
    assert warnings == []
    focal = 24 / np.tan(0.5 * procedural.CAMERA_ANGLE_X)
    for line in (
        'scene      built in (procedural, scene_type object)',
        'photos     60 train, 4 val, 10 test photos; splits as the scene has them',
        'size       48 x 48 px; all with alpha',
        f'lens       focal length {focal:.4g} px, view 39.6 x 39.6 degrees; principal point in the centre; pinhole',
        'near, far  2 .. 6 (of the built-in scene)',
        'cameras    4 from what they look at, (0.00, 0.00, 0.00)',
        'points     none',
        'No warnings.',
    ):
        assert line in text.splitlines()
    low, high = (np.degrees(np.arcsin(np.quantile(clean.cameras.camera_to_world[:, 2, 3] / 4, q))) for q in (0, 1))
    assert f'elevation {low:.0f} .. {high:.0f} degrees, all around, ' in text


def test_what_is_wrong_is_named_and_nothing_else(clean):
    poses = clean.cameras.camera_to_world.copy()
    poses[20] = poses[57]
    damaged = with_images(clean, {7: blurred, 31: overexposed})
    damaged = dataclasses.replace(damaged, cameras=damaged.cameras.replace(camera_to_world=poses))
    text, (same, bright, blur) = inspect(damaged, BUILT_IN)
    assert same.startswith('1 pair of photos have the same camera pose (train_r_20 = train_r_57): ')
    assert bright.startswith('1 photo is more than 2 times brighter than the photos around (train_r_31): ')
    assert blur.startswith('1 photo is blurred, down to ')
    assert ' of the sharpness around (train_r_7): ' in blur
    assert '3 warnings:' in text
    assert f'- {bright}' in text.splitlines()


def test_a_dark_photo_is_not_called_blurred(clean):
    dark = with_images(clean, {3: lambda image: image * [0.5, 0.5, 0.5, 1]})
    (warning,) = photo_warnings(dark, OBJECT, measure_photos(dark))
    assert 'more than 2 times darker than the photos around (train_r_3)' in warning


def test_a_pose_in_two_splits_leaks_and_other_sizes_are_other_photos():
    scene = ring([0, 10, 20, 20, 30], ['train', 'train', 'train', 'test', 'train'])
    (warning,) = geometry_warnings(scene, OBJECT)
    assert '1 pair of photos have the same camera pose (train_020 = test_020); 1 of them in different splits' in warning
    width = np.array([8, 8, 8, 4, 8], np.int32)
    assert geometry_warnings(dataclasses.replace(scene, cameras=scene.cameras.replace(width=width)), OBJECT) == []


def test_held_out_cameras_far_from_training_are_named():
    scene = ring([*range(0, 120, 10), 55, 140, 200], ['train'] * 12 + ['val', 'test', 'test'])
    (warning,) = geometry_warnings(scene, OBJECT)
    distance = 8 * np.sin(np.radians(45))  # the chord of 90 degrees
    assert warning.startswith(f'1 of 3 held-out cameras (test_200) are up to {distance:.3g} from every training camera, ')
    assert f' {distance / (8 * np.sin(np.radians(5))):.0f} times as far' in warning


@pytest.mark.parametrize(
    ('options', 'distance', 'said'),
    [
        (OBJECT, 7.0, '3 of 3 cameras (train_000, train_090, test_200) are 7 to 7 away from the origin'),
        (OBJECT, 1.5, 'are 1.5 to 1.5 away from the origin'),
        (UNBOUNDED, 1.2, '3 of 3 cameras (train_000, train_090, test_200) stand outside of [-1, 1]^3'),
    ],
)
def test_cameras_outside_of_the_bounds(options, distance, said):
    assert said in geometry_warnings(ring([0, 90, 200], ['train', 'train', 'test'], distance), options)[0]
    inside = ring([0, 90, 200], ['train', 'train', 'test'], 4.0 if options is OBJECT else 0.9)
    assert geometry_warnings(inside, options) == []


def test_cameras_in_one_place():
    """They turn, and their places differ by rounding alone; a held-out one elsewhere teaches nothing."""
    scene = ring([0, 30, 60, 90], ['train'] * 3 + ['test'])
    poses = scene.cameras.camera_to_world.copy()
    poses[:3, :, 3] = [4, 0, 0] + 1e-6 * np.eye(3)
    still = dataclasses.replace(scene, cameras=scene.cameras.replace(camera_to_world=poses))
    warning = geometry_warnings(still, OBJECT)[0]
    assert warning.startswith('all training photos are taken from one place: without different places no depth can be learned')
    assert f'warning: {warning}' in short_form(still, BUILT_IN)
    far = dataclasses.replace(scene, points=np.array([[-9000.0, 0, 0]], np.float32))  # about 2 from their middle
    assert ' (within 2 of its middle; what they show is 8.4e+03 away): without' in geometry_warnings(far, OBJECT)[0]
    nearer = dataclasses.replace(scene, points=np.array([[-900.0, 0, 0]], np.float32))
    assert not [each for each in geometry_warnings(nearer, OBJECT) if 'one place' in each]
    poses[:, :, 3] = [4, 0, 0]
    text, _ = inspect(dataclasses.replace(scene, cameras=scene.cameras.replace(camera_to_world=poses)), BUILT_IN)
    assert 'cameras    all in one place, (4.00, 0.00, 0.00)' in text.splitlines()
    assert 'inf' not in text


def test_one_training_photo():
    warnings = geometry_warnings(ring([0, 90], ['train', 'test']), OBJECT)
    assert warnings[0] == 'train_000 is the only training photo: no depth can be learned from one, add others'


def test_cameras_that_look_past_the_origin():
    scene = ring([0, 90, 200], ['train', 'train', 'test'])
    poses = scene.cameras.camera_to_world.copy()
    poses[:, :, 3] += [1.5, 0, 0]
    moved = dataclasses.replace(scene, cameras=scene.cameras.replace(camera_to_world=poses))
    (warning,) = geometry_warnings(moved, OBJECT)
    assert warning.startswith('the cameras look at (1.50, 0.00, 0.00), 1.5 away from the origin')
    np.testing.assert_allclose(layout(moved.cameras).focus, [1.5, 0, 0], atol=1e-6)
    np.testing.assert_allclose(layout(moved.cameras).gap, 160)
    np.testing.assert_allclose(layout(ring([0, 40, 80], ['train'] * 3).cameras).gap, 280)


def test_nothing_before_the_points_of_an_unbounded_scene():
    def found(near):
        scene = ring([0], ['train'], distance=0.9)  # at x = 0.9, looks along -x
        x = 0.9 - np.linspace(2.4, 6, 100)
        cameras = scene.cameras.replace(near=np.full(1, near, np.float32))
        scene = dataclasses.replace(scene, cameras=cameras, points=np.stack([x, 0 * x, 0 * x], 1).astype(np.float32))
        return [each for each in geometry_warnings(scene, UNBOUNDED) if 'nothing is nearer' in each]

    (warning,) = found(near=0.2)
    assert warning.startswith('nothing is nearer than 2.4 by the points, and rays begin at 0.2: --config.data.near=1 ')
    assert not found(near=0.7)


def test_points_outside_of_near_and_far():
    scene = ring([0], ['train'])  # at x = 4, looks along -x: depth is 4 - x
    x = np.array([3.0] * 30 + [0.0] * 60 + [-4.0] * 10 + [5.0] * 50)  # the last ones behind it
    scene = dataclasses.replace(scene, points=np.stack([x, 0 * x, 0 * x], 1).astype(np.float32))
    assert sorted(depths_in_view(scene.cameras, 0, scene.points)) == [1] * 30 + [4] * 60 + [8] * 10
    assert geometry_warnings(scene, OBJECT)[1].startswith('30% of the points in view lie before near and 10% behind far')
    beside = dataclasses.replace(scene, points=scene.points + np.array([0, 0, 9], np.float32))
    assert len(geometry_warnings(beside, OBJECT)) == 1  # nobody sees them
    lens = scene.cameras.camera_to_pixel.copy()
    lens[:, 1, 2] = 1  # the lens looks down: one of two points, 2 above and 2 below the axis, is in the picture
    scene.cameras.camera_to_pixel[:] = lens
    assert depths_in_view(scene.cameras, 0, np.array([[0.0, 0, 2], [1.0, 0, -2]])).tolist() == [3]


@pytest.mark.parametrize(
    ('colour', 'said'),
    [
        (255, None),
        (0, '74 of 74 photos have no alpha and a border of black, but scene_type is object: set config.data.background=black'),
        (90, 'a border of rgb(90, 90, 90)'),
    ],
)
def test_photos_without_alpha_on_one_colour(clean, colour, said):
    scene = with_images(clean, dict.fromkeys(range(74), opaque_on(colour)))
    warnings = photo_warnings(scene, OBJECT, measure_photos(scene))
    assert len(warnings) == (said is not None)
    assert said is None or said in warnings[0]


def test_photos_without_alpha_on_anything(clean):
    noise = np.random.default_rng(0).integers(0, 256, (48, 48, 1))
    scene = with_images(clean, dict.fromkeys(range(40), opaque_on(noise)))
    facts = measure_photos(scene)._replace(sharpness=np.ones(74), brightness=np.ones(74))
    (warning,) = photo_warnings(scene, OBJECT, facts)
    assert warning.startswith('40 of 74 photos have no alpha and no border of one colour, but scene_type is object')
    assert photo_warnings(scene, UNBOUNDED, facts) == []


def test_exposure_is_judged_by_the_photos_around():
    """Light that changes slowly around the scene is the scene's; light that jumps is the camera's."""
    degrees = list(range(0, 360, 5))
    scene = ring(degrees, ['train'] * 72)
    slow = 2 + np.cos(np.radians(degrees))
    facts = measure_photos(scene)._replace(has_alpha=np.ones(72, bool), sharpness=np.ones(72))
    assert photo_warnings(scene, OBJECT, facts._replace(brightness=slow)) == []
    jumping = np.where(np.arange(72) % 10, 1.0, 1.9)
    (warning,) = photo_warnings(scene, OBJECT, facts._replace(brightness=jumping))
    assert warning.startswith('exposure differs between photos, 1.9 times between')
    np.testing.assert_allclose(to_neighbours(jumping, scene.cameras), jumping)


def test_photos_are_compared_with_those_of_their_size():
    scene = ring([*range(0, 60, 5), *range(360, 420, 5)], ['train'] * 24)
    width = np.repeat(np.array([8, 16], np.int32), 12)
    values = np.where(width == 8, 1.0, 10.0)
    np.testing.assert_array_equal(to_neighbours(values, scene.cameras.replace(width=width)), np.ones(24))


def test_measures_of_one_photo():
    image = np.zeros((50, 50, 4), np.uint8)
    image[10:40, 10:40] = [188, 188, 188, 255]  # half of the light of white
    has_alpha, brightness, sharpness, border, colour = measure_photo(image)
    assert has_alpha
    np.testing.assert_allclose(brightness, 0.5, atol=3e-3)
    assert (border, colour.tolist()) == (1.0, [0, 0, 0])
    # Along the edges inside and outside the Laplacian is +-188, twice that in the corners inside; the mean is 0.
    np.testing.assert_allclose(sharpness, 188**2 * (4 * 28 + 4 * 4 + 4 * 30) / 48**2, rtol=1e-5)
    image[..., 3] = 255  # opaque on black, which does not count
    assert measure_photo(image)[:2] == (False, brightness)
    image[:, 30:, :] = [0, 0, 0, 0]  # a border without alpha on one side, and colours on the others
    image[:, :30, :3] = [188, 188, 188]
    np.testing.assert_allclose(measure_photo(image)[1], 0.5, atol=3e-3)
    np.testing.assert_allclose(mean_luminance(np.array([[0.0, 255, 0], [0, 0, 255]])), (0.7152 + 0.0722) / 2, rtol=1e-6)


@pytest.mark.parametrize(
    ('split', 'said'),
    [
        (['test'] + ['train'] * 7 + ['test', 'train'], 'every 8th is held out, by the order of names'),
        (['test', 'train', 'train', 'test'], 'every 3rd is held out, by the order of names'),
        (['train', 'train', 'test', 'test'], 'splits as the scene has them'),
        (['test', 'train', 'val', 'train'], 'every 4th is held out, by the order of names'),
        (['train', 'train'], 'none held out, so there will be no metrics'),
    ],
)
def test_how_the_splits_were_chosen(split, said):
    assert how_split(ring(list(range(len(split))), split)) == said


def test_lenses_are_told():
    scene = ring([0, 90], ['train', 'train'])
    np.testing.assert_allclose(angles_of_view(scene), np.full((2, 2), 90), atol=1e-3)
    assert lens_model(scene) == 'pinhole'
    coefficients = np.zeros((2, 8), np.float32)
    coefficients[:, 0] = 0.1  # the corner, at r = sqrt(2) of a focal length of 4 px, moves by 4 r 0.1 r^2
    bent = dataclasses.replace(scene, cameras=scene.cameras.replace(lens=Lens(coefficients, np.zeros(2, np.int32))))
    assert lens_model(bent) == 'OpenCV distortion, moves the corner by 1.1 px (10.0% of the diagonal)'
    # The middle of an edge is where 1 = x (1 + 0.1 x^2).
    x = np.roots([0.1, 0, 1, -1])
    angle = 2 * np.degrees(np.arctan(x[np.isreal(x)].real))
    np.testing.assert_allclose(angles_of_view(bent), np.full((2, 2), angle), atol=1e-2)


def test_images_of_the_folder_without_poses(blender_folder):
    source = Source('blender', str(blender_folder), OBJECT)
    assert file_warnings(source) == []
    for name in ('r_8.png', 'r_0_depth_0001.png', 'notes.txt'):
        (blender_folder / 'train' / name).write_bytes(b'')
    (warning,) = file_warnings(source)
    assert warning.startswith('1 image file is not used, without a pose or marked is_bad (r_8.png)')
    assert file_warnings(source._replace(options=DataOptions(test_every=2))) == [warning]  # left out by choice


def test_poses_without_images_are_told_by_the_loader(tmp_path, capsys, clean):
    frames = [
        {'file_path': f'{i}.png', 'transform_matrix': [*clean.cameras.camera_to_world[i].tolist(), [0, 0, 0, 1]]}
        for i in range(9)
    ]
    content = {'fl_x': 60.0, 'fl_y': 60.0, 'cx': 24.0, 'cy': 24.0, 'w': 48, 'h': 48, 'frames': frames}
    (tmp_path / 'transforms.json').write_text(json.dumps(content))
    for i in (*range(8), 9):
        Image.fromarray(clean.image(i)).save(tmp_path / f'{i}.png')
    main([str(tmp_path)])
    out, err = capsys.readouterr()
    assert '1 of 9 images are missing and left out, 8.png first' in out
    assert '1 image file is not used, without a pose or marked is_bad (9.png)' in out
    assert 'photos     7 train, 1 test photos; every 8th is held out, by the order of names' in out
    assert err == ''


@pytest.mark.parametrize(('format', 'scene_type'), [('llff', 'forward_facing'), ('deepvoxels', 'object')])
def test_the_scene_type_is_the_usual_one_of_the_format(tmp_path, capsys, format, scene_type):
    if format == 'llff':
        write_llff(tmp_path, front_scene())
    else:
        write_deepvoxels(tmp_path, small_scene())
    main([str(tmp_path)])
    assert scene_type in capsys.readouterr().out.split('\n')[0]


def test_training_says_a_few_lines(clean):
    lines = short_form(clean, BUILT_IN)
    assert lines == [
        'scene built in (procedural, object): 60 train, 4 val, 10 test photos, 48 x 48 px',
        'near, far 2 .. 6 (of the built-in scene); cameras 4 from what they look at',
    ]
    poses = clean.cameras.camera_to_world.copy()
    poses[:, :, 3] = poses[:, :, 3] * 3 + [4, 0, 0]
    poses[1] = poses[0]
    wrong = short_form(dataclasses.replace(clean, cameras=clean.cameras.replace(camera_to_world=poses)), BUILT_IN)
    assert len(wrong) == 4
    assert wrong[2].startswith('warning: 74 of 74 cameras ')
    assert ' (and 1 more: python -m nerf.data.inspect' in wrong[3]


def test_near_and_far_that_were_asked_for(clean):
    facts = measure_photos(clean)
    asked = [DataOptions(near=2.0, far=6.0), DataOptions(near=2.0)]
    texts = [page(clean, Source('procedural', '', options), facts, []) for options in asked]
    assert 'near, far  2 .. 6 (asked for)' in texts[0]
    assert 'near, far  2 .. 6 (near asked for, else of the built-in scene)' in texts[1]


def test_frustums_reach_the_corners_of_the_picture():
    lines = frustums(ring([0, 90], ['train', 'test']))
    # 90 degrees of view: at depth d the corners are d to the sides; the camera stands at x = 4 and looks along -x.
    depth = 4 - lines[0, 0, 1, 0]
    np.testing.assert_allclose(lines[0, 0], [[4, 0, 0], [4 - depth, -depth, depth]], atol=1e-5)
    np.testing.assert_allclose(lines[0, 6], [[4 - depth, depth, -depth], [4 - depth, -depth, -depth]], atol=1e-5)
    assert 0.1 < depth < 0.5
    low, high = limits(ring([0, 90], ['train', 'test']), lines)
    np.testing.assert_allclose(low, [min(0, -depth), min(0, -depth), -depth], atol=1e-5)
    np.testing.assert_allclose(high, [4, 4, depth], atol=1e-5)


def test_the_picture_shows_every_split(clean, tmp_path):
    path = str(tmp_path / 'look.png')
    save_picture(path, clean, 'scene      built in', ['something is wrong'])
    picture = np.asarray(Image.open(path).convert('RGB')).astype(int)
    assert picture.shape == (900, 1600, 3)
    views = picture[60:540, :1120]  # without legend and photos
    for colour in COLOURS.values():
        rgb = [int(colour[i : i + 2], 16) for i in (1, 3, 5)]
        assert (np.abs(views - rgb).max(-1) < 60).sum() > 30
    red = np.array([0xB3, 0x26, 0x1E])
    assert (np.abs(picture[560:, :1120] - red).max(-1) < 60).sum() > 50


@pytest.mark.parametrize(
    ('args', 'said'),
    [
        (['nowhere'], 'nowhere: no such folder'),
        (['--width=4'], 'width 4 px found for the built-in scene'),
        (['--factor=0'], 'data option factor: found 0'),
        (['--format=photos'], "unknown data.format 'photos'"),
        (['--width=8', '--out=look.jpg'], '--out=look.jpg: expected the name of a file that ends in .png'),
        (['--width=8', '--out=not/there/look.png'], '--out=not/there/look.png: no such folder'),
    ],
)
def test_mistakes_end_in_one_sentence(args, said, capsys):
    with pytest.raises(SystemExit) as exit:
        main(args)
    assert exit.value.code == 1
    out, err = capsys.readouterr()
    assert out == ''
    assert err.startswith('error: ')
    assert said in err
    assert err.count('\n') == 1
