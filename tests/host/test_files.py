import pytest

from nerf.errors import UserError
from nerf.host.files import atomic_folder


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
