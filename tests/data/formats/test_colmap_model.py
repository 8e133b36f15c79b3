import numpy as np
import pytest
from written_model import CAMERAS, IMAGES, POINTS, WRITERS, image_bytes, image_lines, write

from nerf.data.formats.colmap_cameras import ModelCamera
from nerf.data.formats.colmap_model import read_model, read_names
from nerf.errors import UserError


@pytest.fixture(params=WRITERS)
def ending(request):
    return request.param


def test_all_fields_are_read(tmp_path, ending):
    model = read_model(write(tmp_path, ending))
    assert model.cameras == {
        7: ModelCamera('PINHOLE', 640, 480, CAMERAS[0][4]),
        3: ModelCamera('OPENCV', 12, 8, CAMERAS[1][4]),
    }
    assert [(image.id, image.name, image.camera_id) for image in model.images] == [(row[0], row[4], row[3]) for row in IMAGES]
    np.testing.assert_array_equal([image.translation for image in model.images], [row[2] for row in IMAGES])
    np.testing.assert_array_equal(model.points, [row[1] for row in POINTS])
    np.testing.assert_array_equal(model.point_colours, [row[2] for row in POINTS])
    np.testing.assert_array_equal(model.point_errors, [row[3] for row in POINTS])
    assert model.point_colours.dtype == np.uint8


def test_quaternions_are_normalised_and_turned_into_rotations(tmp_path, ending):
    images = read_model(write(tmp_path, ending)).images
    np.testing.assert_allclose(images[0].rotation, np.eye(3))
    # Half a turn about (3, 0, 4) / 5: 2 v v^T - 1.
    np.testing.assert_allclose(images[1].rotation, [[-0.28, 0, 0.96], [0, -1, 0], [0.96, 0, 0.28]], atol=1e-15)
    # A third of a turn about (1, 1, 1): x -> y -> z -> x.
    np.testing.assert_allclose(images[2].rotation, [[0, 0, 1], [1, 0, 0], [0, 1, 0]], atol=1e-15)


def test_images_know_the_rows_of_the_points_they_see(tmp_path, ending):
    images = read_model(write(tmp_path, ending)).images
    assert [image.seen.tolist() for image in images] == [[0, 2], [], [1]]


def test_binary_is_preferred_and_no_points_are_no_mistake(tmp_path):
    write(tmp_path, '.txt')
    assert len(read_model(write(tmp_path, '.bin', points=[])).points) == 0
    (tmp_path / 'points3D.bin').unlink()
    assert len(read_model(str(tmp_path)).points) == 3


def test_comments_blank_lines_and_a_missing_last_line(tmp_path):
    folder = write(tmp_path, '.txt')
    lines = image_lines(IMAGES[:2]).split('\n')
    (tmp_path / 'images.txt').write_text('\n'.join(['', '# x', lines[1], '# y', lines[2], '', lines[3]]))
    model = read_model(folder)
    assert [image.seen.tolist() for image in model.images] == [[0, 2], []]
    (tmp_path / 'points3D.txt').write_text('# none\n')
    assert read_model(folder).points.shape == (0, 3)


def changed(rows, row, **fields):
    """Rows with some fields, by their place, of one of them changed."""
    new = list(rows[row])
    for field, value in fields.items():
        new[int(field[1:])] = value
    return [*rows[:row], tuple(new), *rows[row + 1 :]]


NAN, INFINITE = float('nan'), float('inf')
MISTAKES = {
    'no cameras': ({'cameras': []}, 'cameras.*holds no camera'),
    'no images': ({'images': []}, 'images.*holds no image'),
    'camera twice': ({'cameras': [*CAMERAS, CAMERAS[0]]}, 'cameras.*2 cameras of the same id, 7'),
    'image id twice': ({'images': changed(IMAGES, 0, _0=9)}, 'images.*2 images of the same id, 9'),
    'image name twice': ({'images': changed(IMAGES, 0, _4='d.jpg')}, "images.*2 images of the same name, 'd.jpg'"),
    'point twice': ({'points': changed(POINTS, 0, _0=11)}, 'points3D.*several points of the same id'),
    'fov': ({'cameras': changed(CAMERAS, 1, _1=7)}, "cameras.*camera 3: unknown camera model 'FOV'.*PINHOLE, RADIAL"),
    'thin prism': ({'cameras': changed(CAMERAS, 1, _1=10)}, 'THIN_PRISM_FISHEYE'),
    'no width': ({'cameras': changed(CAMERAS, 0, _2=0)}, 'camera 7: found a size of 0 x 480'),
    'huge height': ({'cameras': changed(CAMERAS, 0, _3=2**40)}, 'camera 7: found a size of 640 x 1099511627776'),
    'focal': ({'cameras': changed(CAMERAS, 0, _4=(500.0, -1.0, 3.0, 2.0))}, 'camera 7: found a focal length of -1.0'),
    'parameter nan': ({'cameras': changed(CAMERAS, 0, _4=(500.0, 1.0, NAN, 2.0))}, 'camera 7: a parameter is not finite'),
    'zero quaternion': ({'images': changed(IMAGES, 1, _1=(0.0,) * 4)}, "'left/b c.png': its quaternion has length 0"),
    'nan quaternion': ({'images': changed(IMAGES, 1, _1=(NAN, 0.0, 0.0, 1.0))}, "'left/b c.png': its pose is not finite"),
    'infinite place': ({'images': changed(IMAGES, 1, _2=(INFINITE, 0.0, 0.0))}, "'left/b c.png': its pose is not finite"),
    'missing camera': ({'images': changed(IMAGES, 1, _3=4)}, "'left/b c.png': refers to camera 4, expected one of cameras"),
    'absolute name': ({'images': changed(IMAGES, 0, _4='/etc/passwd')}, 'leaves the folder of images'),
    'name above': ({'images': changed(IMAGES, 0, _4='x/../../a.jpg')}, 'leaves the folder of images'),
    'point nan': ({'points': changed(POINTS, 1, _1=(0.0, NAN, 0.0))}, 'points3D.*point 4 is not finite'),
    'error infinite': ({'points': changed(POINTS, 1, _3=INFINITE)}, 'points3D.*point 4 is not finite'),
}


@pytest.mark.parametrize('mistake', MISTAKES)
def test_what_cannot_be_is_named_in_one_sentence(tmp_path, ending, mistake):
    rows, sentence = MISTAKES[mistake]
    with pytest.raises(UserError, match=sentence) as caught:
        read_model(write(tmp_path, ending, **rows))
    assert '\n' not in str(caught.value)
    assert ending in str(caught.value)


def test_names_that_are_none(tmp_path):
    for name in ('', 'a\tb'):
        with pytest.raises(UserError, match='expected a file name'):
            read_model(write(tmp_path, '.bin', images=changed(IMAGES, 0, _4=name)))
    write(tmp_path, '.bin')
    content = image_bytes(IMAGES)
    (tmp_path / 'images.bin').write_bytes(content.replace(b'a.jpg', b'\xff.jpg'))
    with pytest.raises(UserError, match='not UTF-8'):
        read_model(str(tmp_path))
    (tmp_path / 'images.bin').write_bytes(content.replace(b'a.jpg\0', b'a' * 1025 + b'\0'))
    with pytest.raises(UserError, match='does not end within 1024 bytes'):
        read_model(str(tmp_path))


@pytest.mark.parametrize('encoding', ['utf-8-sig', 'utf-16', 'utf-16-be', 'utf-32'])
def test_text_of_windows(tmp_path, encoding):
    folder = write(tmp_path, '.txt', images=changed(IMAGES, 0, _4='é a.jpg'))
    for part in ('cameras', 'images', 'points3D'):
        text = (tmp_path / f'{part}.txt').read_text()
        mark = '\ufeff' if encoding == 'utf-16-be' else ''
        (tmp_path / f'{part}.txt').write_bytes((mark + text.replace('\n', '\r\n')).encode(encoding))
    model = read_model(folder)
    assert [image.name for image in model.images] == ['é a.jpg', 'left/b c.png', 'd.jpg'] == read_names(folder)
    assert (len(model.cameras), len(model.points)) == (2, 3)
    assert [image.seen.tolist() for image in model.images] == [[0, 2], [], [1]]


def test_names_alone(tmp_path, ending):
    assert read_names(write(tmp_path, ending)) == [row[4] for row in IMAGES]


@pytest.mark.parametrize('other', [None, 'points3D.ply', 'points3D.txt'])
def test_a_model_without_points(tmp_path, ending, other, caplog):
    folder = write(tmp_path, ending)
    (tmp_path / f'points3D{ending}').unlink()
    if other == 'points3D.txt':
        write(tmp_path / 'text', '.txt')
        (tmp_path / 'text' / other).rename(tmp_path / other)
        assert len(read_model(folder).points) == 3
        assert not caplog.records
        return
    if other:
        (tmp_path / other).write_bytes(b'ply')
    model = read_model(folder)
    assert model.points.shape == (0, 3)
    assert [image.seen.tolist() for image in model.images] == [[], [], []]
    (line,) = [record.getMessage() for record in caplog.records]
    assert line.startswith(f'{folder}: has no points3D.bin or .txt{" (points3D.ply is not read)" if other else ""}, so ')


def test_files_of_either_kind_make_one_model_and_rigs_are_not_read(tmp_path):
    write(tmp_path, '.bin')
    write(tmp_path / 'text', '.txt', points=POINTS[:2])
    for name in ('cameras', 'points3D'):
        (tmp_path / f'{name}.bin').unlink()
        (tmp_path / 'text' / f'{name}.txt').rename(tmp_path / f'{name}.txt')
    for name in ('rigs.bin', 'frames.bin', 'project.ini'):
        (tmp_path / name).write_bytes(b'\1')
    model = read_model(str(tmp_path))
    assert (len(model.cameras), len(model.images), len(model.points)) == (2, 3, 2)


def test_missing_files(tmp_path):
    with pytest.raises(UserError, match=r'found no COLMAP model, expected cameras\.bin, images\.bin and points3D\.bin'):
        read_model(str(tmp_path / 'none'))
    write(tmp_path, '.bin')
    (tmp_path / 'images.bin').unlink()
    with pytest.raises(UserError, match=r'images\.bin: no such file, and no images\.txt; expected one beside'):
        read_model(str(tmp_path))


@pytest.mark.parametrize(
    ('part', 'line', 'sentence'),
    [
        ('cameras', '1 PINHOLE 64', 'line 1: expected CAMERA_ID MODEL'),
        ('cameras', '1 PINHOLE 64 48 50 50 32', 'camera 1: found 3 parameters for PINHOLE, expected 4: fx fy cx cy'),
        ('cameras', '1 PINHOLE 64.5 48 50 50 32 24', 'line 1: expected CAMERA_ID MODEL'),
        ('images', '1 1 0 0 0 0 0 0 7', 'line 1: expected IMAGE_ID QW'),
        ('images', '1 1 0 0 0 0 0 0 7 a.jpg\n2 1 0 0 0 0 0 0 7 b.jpg', 'line 2: expected the points of the image above'),
        ('images', '1 1 0 0 0 0 0 0 7 a.jpg\n1.5 2.5 99999999999999999999', 'line 2: expected the points'),
        ('points3D', '1 0 0 0 1 2 3', 'line 1: expected POINT3D_ID X Y Z'),
        ('points3D', '1 0 0 0 1 2 256 0.5', 'line 1: expected POINT3D_ID X Y Z'),
        ('points3D', '99999999999999999999 0 0 0 1 2 3 0.5', 'line 1: expected POINT3D_ID X Y Z'),
    ],
)
def test_lines_that_are_none_are_named(tmp_path, part, line, sentence):
    folder = write(tmp_path, '.txt')
    (tmp_path / f'{part}.txt').write_text(line)
    with pytest.raises(UserError, match=sentence):
        read_model(folder)
    (tmp_path / f'{part}.txt').write_bytes(b'\xff\xff')
    with pytest.raises(UserError, match=rf'{part}\.txt: is no text in UTF-8'):
        read_model(folder)
