import json
import os
import pickle
import resource
import zipfile
from pathlib import Path

import numpy as np
import pytest

from nerf.host import untrusted
from nerf.host.untrusted import (
    MissingError,
    UnreadableError,
    checksum,
    checksum_of_arrays,
    decode_text,
    read_arrays,
    read_bytes,
    read_json,
)

MOST = 2**20


@pytest.mark.parametrize('target', ['/dev/zero', '/dev/null', 'pipe', 'folder', 'loop'])
def test_what_is_no_file_is_never_opened(tmp_path, target):
    os.mkfifo(tmp_path / 'pipe')
    (tmp_path / 'folder').mkdir()
    path = tmp_path / 'loop'
    if target != 'loop':
        path = tmp_path / 'link'
    path.symlink_to(target)
    for read in (read_bytes, read_json, read_arrays):
        with pytest.raises(UnreadableError):
            read(path, MOST)


def test_missing_files_are_told_from_others(tmp_path):
    (tmp_path / 'file').write_text('')
    for name in ('gone', 'file/gone'):
        with pytest.raises(MissingError):
            read_bytes(tmp_path / name, MOST)
    for name in ('a\0b', 'x' * 300):
        with pytest.raises(UnreadableError):
            read_bytes(f'{tmp_path}/{name}', MOST)


def test_a_file_that_is_too_long_is_not_read(tmp_path):
    path = tmp_path / 'long'
    path.touch()
    os.truncate(path, 2**40)  # takes no room on the disk
    for read in (read_bytes, read_json, read_arrays):
        with pytest.raises(UnreadableError, match=r'has more than \d+ bytes, 1099511627776'):
            read(path, MOST)
    path.write_bytes(b'abc')
    assert read_bytes(path, 3) == b'abc'
    with pytest.raises(UnreadableError):
        read_bytes(path, 2)


@pytest.mark.parametrize(
    'text', ['[' * 10**5, '[' * 100 + ']' * 100, '{"a":' * 70 + '1' + '}' * 70, '-' + '9' * 5000, '{', '', '\xff']
)
def test_json_that_would_end_a_program_is_refused(tmp_path, text):
    path = tmp_path / 'a.json'
    path.write_bytes(text.encode('latin-1'))
    with pytest.raises(UnreadableError):
        read_json(path, MOST)


def test_json_is_read_as_it_is(tmp_path):
    content = {'a': [1, 2.5, None, True, {'é': [[]]}], 'b': 10**200}
    (tmp_path / 'a.json').write_text(json.dumps(content))
    assert read_json(tmp_path / 'a.json', MOST) == content


@pytest.mark.parametrize(
    'mark',
    [b'', b'\xef\xbb\xbf', b'\xff\xfe', b'\xfe\xff', b'\xff\xfe\0\0', b'\0\0\xfe\xff'],
    ids=['none', 'UTF-8', 'UTF-16 little', 'UTF-16 big', 'UTF-32 little', 'UTF-32 big'],
)
def test_text_is_decoded_by_its_mark_which_is_removed(tmp_path, mark):
    ending = '' if len(mark) in (0, 3) else '-le' if mark.startswith(b'\xff') else '-be'
    encoding = {0: 'utf-8', 2: 'utf-16', 3: 'utf-8', 4: 'utf-32'}[len(mark)] + ending
    text = '{"Küche": "\\n", "湯": "🏠"}'
    assert decode_text(mark + text.encode(encoding)) == text
    (tmp_path / 'a.json').write_bytes(mark + text.encode(encoding))
    assert read_json(tmp_path / 'a.json', MOST) == {'Küche': '\n', '湯': '🏠'}
    assert decode_text(mark) == ''


@pytest.mark.parametrize(
    ('content', 'found'),
    [(b'K\xfcche', 'UTF-8'), (b'\xff\xfea', 'UTF-16'), (b'\xff\xfe\0\xd8', 'UTF-16'), (b'\xff\xfe\0\0\0\0\0\xff', 'UTF-32')],
)
def test_what_is_no_text_is_said(tmp_path, content, found):
    with pytest.raises(UnreadableError, match=f'is no text in {found}; save it as UTF-8'):
        decode_text(content)
    (tmp_path / 'a.json').write_bytes(content)
    with pytest.raises(UnreadableError, match='is no text'):
        read_json(tmp_path / 'a.json', MOST)


def test_checksums_depend_on_content_alone():
    assert checksum({'a': 1, 'b': 2}) == checksum({'b': 2, 'a': 1})
    assert checksum({'a': 1}) != checksum({'a': 1.0})
    one = {'x': np.zeros((2, 3), np.float32), 'y': np.array(['a'])}
    assert checksum_of_arrays(one) == checksum_of_arrays(dict(reversed(one.items())))
    for other in ({**one, 'x': np.zeros((3, 2), np.float32)}, {**one, 'x': np.zeros((2, 3), np.int32)}, {'x': one['x']}):
        assert checksum_of_arrays(other) != checksum_of_arrays(one)


@pytest.mark.parametrize('save', [np.savez, np.savez_compressed])
def test_arrays_come_back(tmp_path, save):
    arrays = {'a': np.arange(6.0).reshape(2, 3), 'b': np.asfortranarray(np.arange(6).reshape(2, 3)), 'c': np.array(['x', 'yz'])}
    arrays |= {'d': np.array(3.5), 'e': np.zeros((0, 4), np.uint8)}
    save(tmp_path / 'a.npz', **arrays)
    seen = {}
    found = read_arrays(tmp_path / 'a.npz', MOST, seen.update)
    assert list(found) == list(arrays)
    assert seen['a'].shape == (2, 3)
    for name, values in arrays.items():
        np.testing.assert_array_equal(found[name], values, strict=True)
    found['a'][0] = 1  # not a view of what cannot be written


def write_npz(path, members, kind=zipfile.ZIP_DEFLATED):
    with zipfile.ZipFile(path, 'w', kind) as archive:
        for name, content in members:
            archive.writestr(name, content)


def npy(shape, descr='<f4', content=b''):
    header = str({'descr': descr, 'fortran_order': False, 'shape': shape}).encode() + b'\n'
    return b'\x93NUMPY\x01\x00' + len(header).to_bytes(2, 'little') + header + content


FORGED = {
    'more than it holds': [('a.npy', npy((2**40,)))],
    'overflow': [('a.npy', npy((2**62, 2**62, 0)))],
    'negative': [('a.npy', npy((-2, -2), content=bytes(16)))],
    'nothing each': [('a.npy', npy((10**12,), '<U0'))],
    'objects': [('a.npy', npy((1,), '|O', bytes(8)))],
    'pickle': [('a.npy', pickle.dumps([1]))],
    'no array': [('a.txt', b'x')],
    'many': [(f'{i}.npy', npy((1,), content=bytes(4))) for i in range(20_000)],
    'code': [('a.npy', npy('__import__("os").getpid()'))],
    'long header': [('a.npy', npy((1,)) + b' ' * 10)],
    'nested header': [('a.npy', b'\x93NUMPY\x01\x00' + (9000).to_bytes(2, 'little') + b'(' * 9000)],
}


@pytest.mark.parametrize('name', FORGED)
def test_forged_archives_are_refused(tmp_path, name):
    write_npz(tmp_path / 'a.npz', FORGED[name])
    with pytest.raises(UnreadableError) as error:
        read_arrays(tmp_path / 'a.npz', MOST)
    assert str(error.value).isprintable()
    assert len(str(error.value)) < 300


def test_a_small_archive_of_a_large_array_takes_no_memory(tmp_path):
    with zipfile.ZipFile(tmp_path / 'a.npz', 'w', zipfile.ZIP_DEFLATED) as archive, archive.open('a.npy', 'w') as member:
        member.write(npy((2**29,), '|u1'))
        for _ in range(2**9):
            member.write(bytes(2**20))
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with pytest.raises(UnreadableError, match='holds more'):
        read_arrays(tmp_path / 'a.npz', 2**24)
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 2**16  # KiB


def test_sizes_are_refused_before_they_are_read(tmp_path):
    np.savez(tmp_path / 'a.npz', a=np.zeros(5))

    def check(headers):
        raise UnreadableError(f'{headers["a"].shape}')

    with pytest.raises(UnreadableError, match=r'\(5,\)'):
        read_arrays(tmp_path / 'a.npz', MOST, check)


def test_every_damage_of_an_archive_is_refused_or_harmless(tmp_path):
    arrays = {'a': np.arange(40.0, dtype=np.float32), 'n': np.array(['one', 'two'])}
    path = tmp_path / 'a.npz'
    np.savez_compressed(path, **arrays)
    whole, rng, refused = path.read_bytes(), np.random.default_rng(3), 0
    for _ in range(1500):
        data = bytearray(whole)
        if rng.random() < 0.2:
            data = data[: rng.integers(len(data))]
        for _ in range(rng.integers(1, 4)):
            if data:
                data[rng.integers(len(data))] ^= 1 << int(rng.integers(8))
        path.write_bytes(data)
        try:
            found = read_arrays(path, MOST)
        except UnreadableError:
            refused += 1
            continue
        for name in set(found) & set(arrays):
            if found[name].dtype == arrays[name].dtype and found[name].shape == arrays[name].shape:
                assert found[name].tobytes() == arrays[name].tobytes()
    assert refused > 500


def test_sha256_is_of_exactly_that_file(tmp_path):
    path = Path(tmp_path / 'a')
    path.write_bytes(b'abc')
    assert untrusted.sha256_of(path, 3).startswith('ba7816bf')
    for size in (2, 4):
        with pytest.raises(UnreadableError):
            untrusted.sha256_of(path, size)
