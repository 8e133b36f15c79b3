import struct
import tracemalloc

import pytest
from written_model import PARTS, write

from nerf.data.formats.colmap_model import Model, read_model
from nerf.errors import UserError


def outcome(folder):
    """'refused' or 'read'; any other exception is a failure. No more memory may be taken than the files are large."""
    tracemalloc.start()
    try:
        assert isinstance(read_model(folder), Model)
    except UserError:
        return 'refused'
    finally:
        assert tracemalloc.get_traced_memory()[1] < 200_000
        tracemalloc.stop()
    return 'read'


@pytest.mark.parametrize('part', PARTS)
def test_every_truncation_is_refused_and_so_is_what_follows(tmp_path, part):
    path = tmp_path / f'{part}.bin'
    folder = write(tmp_path, '.bin')
    whole = path.read_bytes()
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        with pytest.raises(UserError, match=rf'{part}\.bin: (says|ends in|an image name does not end)'):
            read_model(folder)
    path.write_bytes(whole + b'\0')
    with pytest.raises(UserError, match=rf'{part}\.bin: 1 bytes follow after its last entry'):
        read_model(folder)


@pytest.mark.parametrize('part', PARTS)
def test_every_truncated_text_is_refused_or_a_model(tmp_path, part):
    path = tmp_path / f'{part}.txt'
    folder = write(tmp_path, '.txt')
    whole = path.read_bytes()
    outcomes = []
    for length in range(len(whole)):
        path.write_bytes(whole[:length])
        outcomes.append(outcome(folder))
    assert outcomes.count('refused') > len(whole) // 3


@pytest.mark.parametrize('ending', ['.bin', '.txt'])
@pytest.mark.parametrize('part', PARTS)
def test_every_flipped_bit_is_refused_or_leaves_a_model(tmp_path, ending, part):
    path = tmp_path / (part + ending)
    folder = write(tmp_path, ending)
    whole = path.read_bytes()
    outcomes = []
    for bit in range(0, 8 * len(whole), 11):
        damaged = bytearray(whole)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        outcomes.append(outcome(folder))
    assert outcomes.count('refused') > len(outcomes) // 20


@pytest.mark.parametrize('count', [2**20, 2**40, 2**61, 2**63, 2**64 - 1])
def test_no_count_is_believed(tmp_path, count):
    folder = write(tmp_path, '.bin')
    for part, places in {'cameras': [0], 'images': [0, 78], 'points3D': [0, 51]}.items():
        path = tmp_path / f'{part}.bin'
        whole = path.read_bytes()
        for place in places:
            path.write_bytes(whole[:place] + struct.pack('<Q', count) + whole[place + 8 :])
            assert outcome(folder) == 'refused'
            with pytest.raises(UserError, match=rf'{part}\.bin: (says {count} .* follow, but only|ends in the middle)'):
                read_model(folder)
        path.write_bytes(whole)


def test_a_point_too_few_is_seen_where_a_long_track_makes_up_its_bytes(tmp_path):
    folder = write(tmp_path, '.bin', points=[(8, (1.0, 2.0, 3.0), (255, 0, 7), 0.25, [(5, 2)] * 20)])
    content = (tmp_path / 'points3D.bin').read_bytes()
    (tmp_path / 'points3D.bin').write_bytes(struct.pack('<Q', 2) + content[8:])
    with pytest.raises(UserError, match=r'points3D\.bin: ends in the middle of an entry'):
        read_model(folder)
