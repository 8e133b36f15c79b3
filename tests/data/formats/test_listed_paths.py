import os
import unicodedata

import pytest

from nerf.data.formats.listed_paths import SceneFiles
from nerf.errors import UserError

NFC, NFD = (unicodedata.normalize(form, 'Küche/é') for form in ('NFC', 'NFD'))


@pytest.fixture
def scene(tmp_path):
    """A folder with empty files, as of some of the listed paths."""

    def make(*names):
        folder = tmp_path / 'in' / 'scene'
        for name in names:
            (folder / name).parent.mkdir(parents=True, exist_ok=True)
            (folder / name).write_bytes(b'')
        return str(folder)

    return make


def test_images_are_found_by_name_whatever_their_ending(scene, tmp_path):
    folder = scene('../outside.png', 'a.JPG', 'b/c.png', 'd.x.webp', 'e.png', 'e.PNG', 'e.jpg', 'f.Jpeg', 'g.5.png', 'g.png')
    scene('h.y.png', 'h.png')
    for name, found in {
        'a.JPG': 'a.JPG',
        'a.png': 'a.JPG',
        'a': 'a.JPG',
        'b/c.jpeg': 'b/c.png',
        './b/c.png': 'b/c.png',
        'b\\c': 'b/c.png',
        'd.x.jpg': 'd.x.webp',
        'e.jpg': 'e.jpg',
        'e': 'e.png',
        'e.PNG': 'e.PNG',
        'f.png': 'f.Jpeg',
        'g.5': 'g.5.png',
        'g.7': None,  # digits after a dot are no ending
        'h.y': 'h.y.png',
        'b': None,
        'z.png': None,
        '': None,
        'a\0': None,
        '../outside.png': None,
        'b/../../outside.png': None,
        '..\\outside.png': None,
        'C:\\a.JPG': None,
        str(tmp_path / 'in' / 'outside.png'): None,
    }.items():
        assert SceneFiles(folder).find(name) == (found and os.path.join(folder, found)), name


@pytest.mark.parametrize(('on_disk', 'listed'), [(NFC, NFD), (NFD, NFC)])
def test_names_are_compared_in_one_unicode_form(scene, on_disk, listed):
    assert on_disk != listed
    folder = scene(f'{on_disk}.JPG')
    assert SceneFiles(folder).find(f'{listed}.png') == os.path.join(folder, f'{on_disk}.JPG')
    assert SceneFiles(folder).locate([listed, f'/moved/to/{listed}.jpg'], 'here') == [f'{on_disk}.JPG'] * 2


@pytest.mark.parametrize(
    ('listed', 'found'),
    [
        ('images\\1.png', 'images/1.png'),
        ('.\\images\\sub\\..\\1.png', 'images/1.png'),
        ('D:\\captures\\my scene\\images\\1.png', 'images/1.png'),
        ('d:/captures/images/1', 'images/1.png'),
        ('\\\\server\\share\\images\\1.JPG', 'images/1.png'),
        ('\\\\?\\D:\\images\\1.png', 'images/1.png'),
        ('/home/other/images/1.png', 'images/1.png'),
        ('/images/1.png', 'images/1.png'),
        ('/home/other/images/../1.png', '1.png'),  # the longest end that is there
        ('/1.png', '1.png'),
        ('/home/other/images/2.png', 'home/other/images/2.png'),
        ('images/2.png', 'images/2.png'),
        ('images//./1.png', 'images/1.png'),
        ('..a/b', '..a/b'),
        ('a/../a..', 'a..'),
        ('', '.'),
    ],
)
def test_paths_of_other_systems_are_of_the_scene_folder(scene, listed, found):
    files = SceneFiles(scene('images/1.png', '1.png', 'other.png'))
    assert files.locate([listed, 'other.png'], 'here') == [found, 'other.png']


@pytest.mark.parametrize('path', ['..', '../a', 'a/../../b', './../a', '..\\a', 'a\\..\\..\\b', 'a\0b', '/a\0b'])
def test_paths_that_leave_are_refused(scene, path):
    with pytest.raises(UserError, match=r'here: file_path .* leaves the scene folder'):
        SceneFiles(scene('a', 'b')).locate([path], 'here')


def test_absolute_paths_within_the_folder_are_not_moved(scene, tmp_path):
    folder = scene('images/1.png', '1.png')
    link = tmp_path / 'link'
    link.symlink_to(folder)
    for root, opened in ((folder, folder), (str(link), str(link)), (folder, str(link))):
        files = SceneFiles(opened)
        assert files.locate([f'{root}/images/1', f'{root}/1.png'], 'here') == ['images/1.png', '1.png']
        assert not files.moved


def test_no_absolute_path_leads_out(scene, tmp_path):
    folder = scene('images/1.png', '../outside.png')
    outside = str(tmp_path / 'in' / 'outside.png')
    for path in (outside, '/etc/passwd', f'{folder}/../outside.png'):
        (within,) = SceneFiles(folder).locate([path], 'here')
        assert not os.path.exists(os.path.join(folder, within))
        assert os.path.abspath(os.path.join(folder, within)).startswith(folder)


def test_backslashes_are_letters_where_a_file_is_named_so(scene):
    folder = scene('a\\b.png', 'a/b.png')
    files = SceneFiles(folder)
    assert files.locate(['a\\b.png', 'a\\b'], 'here') == ['a\\b.png', 'a/b.png']
    assert files.find('a\\b.png') == f'{folder}/a\\b.png'


def test_relative_paths_are_matched_by_their_ends_only_if_none_of_them_is_there(scene):
    folder = scene('images/1.png', '2.png')
    files = SceneFiles(folder)
    assert files.locate(['images/1', 'cameras/2.png'], 'here') == ['images/1.png', 'cameras/2.png']
    assert files.locate(['data/fox/images/1', 'data/fox/3'], 'here') == ['images/1.png', 'data/fox/3']
    assert files.moved == {'data/fox/images/1': 'images/1.png'}


def test_smaller_copies_say_where_an_image_would_be(scene):
    files = SceneFiles(scene('images_4/1.jpg', 'images_copy/2.jpg'))
    assert files.locate(['/data/images/1.png', 'images/1.png', 'images/2.png'], 'here') == [
        *('images/1.jpg', 'images/1.jpg', 'images/2.png')
    ]


def test_what_was_moved_is_said_in_one_line(scene, caplog):
    folder = scene('1.png', '2.png')
    for _ in range(2):  # the files of a scene are listed twice
        files = SceneFiles(folder)
        files.locate(['/a/1', '2'], 'here')
        files.locate(['/b/2'], 'here')
        files.say_moved(folder)
    assert [record.getMessage() for record in caplog.records] == [
        f'{folder}: 2 of its paths lead elsewhere; files are taken that end alike in the scene folder, /a/1 as 1.png first'
    ]


def test_a_folder_is_listed_once(scene, monkeypatch):
    folder = scene(*(f'images/{i}.JPG' for i in range(30)))
    listed, listdir = [], os.listdir
    monkeypatch.setattr(os, 'listdir', lambda path: listed.append(path) or listdir(path))
    files = SceneFiles(folder)
    assert files.locate([f'/x/images/{i}.png' for i in range(30)], 'here') == [f'images/{i}.JPG' for i in range(30)]
    assert len(listed) == len(set(listed)) == 2


def test_paths_of_a_million_folders_take_no_time(scene):
    path = '/images' * 10**6
    assert SceneFiles(scene('images/1.png')).locate([path], 'here') == [path[1:]]
