import pytest

from nerf.data.formats.photos import Photo, stems
from nerf.data.names import check_names
from nerf.errors import UserError

GOOD = ('r_0', 'IMG 12 (3)', 'a..b', 'é', '写真', 'a:b', 'x' * 200, '-rf', 'می‌خواهم', 'test_r_0')
BAD = (
    *('', ' ', '.', '..', '.hidden', '../up', 'a/b', '/abs', 'a\\b', '..\\..\\up', 'a\0b', 'a\nb', 'a\tb', 'a\x1b[2Jb', '\x7f'),
    *('a\u202egnp', '\ud800', 'a\u2028b', 'x' * 201, '写' * 67),
)


@pytest.mark.parametrize('stem', GOOD)
def test_names_of_files_are_kept(stem):
    check_names([f'test_{stem}', 'train_other'], ['test', 'train'])
    check_names([stem], ['val'])


@pytest.mark.parametrize('stem', BAD)
def test_names_that_are_more_than_a_file_are_refused(stem):
    with pytest.raises(UserError, match=r'^here: image .*: found a name .*rename it') as error:
        check_names(['train_r_0', f'test_{stem}'], ['train', 'test'], 'here')
    assert str(error.value).isascii()
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 250


@pytest.mark.parametrize('pair', [('a', 'a'), ('A', 'a'), ('é', 'e\u0301'), ('straße', 'STRASSE'), ('test_a', 'test_test_a')])
def test_two_images_in_one_file_are_refused(pair):
    names, splits = list(pair), ['test', 'test']
    with pytest.raises(UserError, match='twice'):
        check_names(names, splits) if pair[0] != 'test_a' else check_names(['a', 'test_a'], splits)


def test_splits_keep_names_apart():
    check_names(['train_a', 'test_a', 'val_A'], ['train', 'test', 'val'])


@pytest.mark.parametrize(
    ('names', 'splits'), [(['a'], ['train', 'test']), (['a', 'b'], ['train']), (['a'], ['../x']), (['a'], [''])]
)
def test_one_known_split_each(names, splits):
    with pytest.raises(UserError, match='split'):
        check_names(names, splits)


def photo(name):
    return Photo(**dict.fromkeys(Photo.__dataclass_fields__) | {'name': name})


def test_photos_that_differ_in_case_alone_are_named_by_their_folders():
    assert stems('here', [photo('x/IMG.png'), photo('y/img.png')]) == ['x_IMG', 'y_img']
    assert stems('here', [photo('IMG.png'), photo('img.jpg')]) == ['IMG.png', 'img.jpg']
    with pytest.raises(UserError, match='twice'):
        stems('here', [photo('IMG.png'), photo('img.png')])


def test_folders_are_not_joined_to_the_name_of_another():
    names = stems('here', [photo('l/a.png'), photo('l_a.png'), photo('l/b.png'), photo('x/a.png')])
    with pytest.raises(UserError, match='twice'):
        check_names(names, ['val'] * 4)
