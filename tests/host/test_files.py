import errno

import pytest

from nerf.errors import UserError
from nerf.host.files import atomic_file, atomic_folder, make_folder, write_atomically


def test_a_folder_appears_whole_or_not_at_all(tmp_path):
    out = tmp_path / 'new' / 'scene'

    def fail_half_way():
        with atomic_folder(str(out)) as folder:
            (folder / 'half').write_text('a')
            raise KeyError

    with pytest.raises(KeyError):
        fail_half_way()
    assert list((tmp_path / 'new').iterdir()) == []
    with atomic_folder(str(out)) as folder:
        (folder / 'whole').write_text('a')
        assert not out.exists()
    assert [path.name for path in out.iterdir()] == ['whole']
    assert [path.name for path in (tmp_path / 'new').iterdir()] == ['scene']


def test_what_is_there_is_not_overwritten(tmp_path):
    (tmp_path / 'mine').write_text('a')
    with pytest.raises(UserError, match=f'--out={tmp_path}: exists and is not an empty folder'), atomic_folder(str(tmp_path)):
        raise AssertionError
    assert (tmp_path / 'mine').read_text() == 'a'


def test_a_file_is_written_through_no_link_and_leaves_nothing_when_it_fails(tmp_path):
    victim = tmp_path / 'victim'
    victim.write_bytes(b'mine')
    folder = tmp_path / 'run'
    folder.mkdir()
    (folder / 'a.json').symlink_to(victim)
    (folder / '.a.json.partial').symlink_to(victim)
    write_atomically(folder / 'a.json', b'theirs')
    assert victim.read_bytes() == b'mine'
    assert not (folder / 'a.json').is_symlink()

    def fail_half_way():
        with atomic_file(folder / 'b.png') as temporary:
            assert temporary.suffix == '.png'
            temporary.write_bytes(b'half')
            raise OSError(errno.ENOSPC, 'No space left on device')

    with pytest.raises(UserError, match=r'b\.png: cannot be written \(No space left on device\): free some space'):
        fail_half_way()
    assert sorted(path.name for path in folder.iterdir()) == ['.a.json.partial', 'a.json']


def test_a_temporary_name_that_exists_is_never_used(tmp_path, monkeypatch):
    victim = tmp_path / 'victim'
    victim.write_bytes(b'mine')
    monkeypatch.setattr('secrets.token_hex', lambda count: 'guessed')
    (tmp_path / '.a-guessed.partial.json').symlink_to(victim)
    with pytest.raises(UserError, match='File exists'):
        write_atomically(tmp_path / 'a.json', b'theirs')
    assert victim.read_bytes() == b'mine'


def test_no_folder_below_a_run_is_a_link(tmp_path):
    (tmp_path / 'elsewhere').mkdir()
    (tmp_path / 'link').symlink_to(tmp_path / 'elsewhere')
    assert make_folder(tmp_path / 'link', 'render').is_dir()
    (tmp_path / 'elsewhere/render/test').symlink_to(tmp_path)
    with pytest.raises(UserError, match='test: found a link, expected a folder of this run'):
        make_folder(tmp_path / 'link', 'render', 'test')
    (tmp_path / 'file').write_text('')
    with pytest.raises(UserError, match='file: cannot be made'):
        make_folder(tmp_path, 'file', 'x')
