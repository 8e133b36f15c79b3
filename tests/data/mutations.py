"""Ways to damage a file at random. Each takes its path and a random generator, and says what it did."""

import json
import os
import pickle
import shutil
import struct
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

NUMBERS = (0, -1, 1, 0.5, 2**31, 2**63, 2**64, 10**30, 1e-30, 1e30, 1e200, -1e308, float('nan'), float('inf'), float('-inf'))
ODD_VALUES = (*NUMBERS, 10**400, None, True, False, '', 'x', '0', '../../../etc/passwd', '/etc/passwd', 'a\0b', 'é' * 300)
ODD_SHAPES = ([], {}, [[]], [None], [1, [2]], {'a': 1}, [[1, 2], [3]])
ODD_WORDS = (
    'nan',
    'inf',
    '-inf',
    '1e400',
    '-1',
    '0',
    '1e300',
    '9' * 30,
    'abc',
    '0x10',
    '1_0',
    '½',
    '"',
    '#',
    'PINHOLE',
    '../x.png',
)
DOUBLES = (0.0, -1.0, 1e-300, 1e30, 1e300, float('nan'), float('inf'))
COUNTS = (0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1)
SIDES = (0, 1, 2, 65_500, 1_000_000, 2**31 - 1)


def choose(rng, options):
    return options[rng.integers(len(options))]


# Any file


def cut(path, rng):
    data = path.read_bytes()
    path.write_bytes(data[: rng.integers(len(data) + 1)])
    return 'cut'


def empty(path, rng):
    path.write_bytes(b'')
    return 'emptied'


def remove(path, rng):
    path.unlink()
    return 'removed'


def flip(path, rng):
    data = bytearray(path.read_bytes())
    places = rng.integers(8 * max(1, len(data)), size=rng.integers(1, 9))
    for place in places[: 8 * len(data)]:
        data[place // 8] ^= 1 << place % 8
    path.write_bytes(data)
    return f'bits {places.tolist()} flipped'


def overwrite(path, rng):
    data = bytearray(path.read_bytes())
    start, length = rng.integers(len(data) + 1), rng.integers(1, 65)
    data[start : start + length] = choose(rng, (b'\0' * length, b'\xff' * length, rng.bytes(length)))
    path.write_bytes(data)
    return f'{length} bytes from {start} overwritten'


def repeat(path, rng):
    data = path.read_bytes()
    start, stop = sorted(rng.integers(len(data) + 1, size=2))
    path.write_bytes(data[:stop] + data[start:])
    return f'{start} to {stop} repeated'


def extend(path, rng):
    path.write_bytes(path.read_bytes() + choose(rng, (b'\0' * 99, b'\n', b' 1', rng.bytes(99))))
    return 'extended'


def noise(path, rng):
    path.write_bytes(rng.bytes(rng.integers(5000)))
    return 'random bytes'


def swap(path, rng):
    other = choose(rng, sorted(each for each in path.parent.iterdir() if each.is_file()))
    mine, theirs = path.read_bytes(), other.read_bytes()
    path.write_bytes(theirs)
    other.write_bytes(mine)
    return f'swapped with {other.name}'


def to_folder(path, rng):
    path.unlink()
    path.mkdir()
    return 'became a folder'


def to_link(path, rng):
    """A link, to what has no end, no content or no place, or a queue that nobody writes into."""
    target = choose(rng, ('/dev/zero', '/dev/null', str(path), '/nowhere', ''))
    path.unlink()
    if target:
        path.symlink_to(target)
    else:
        os.mkfifo(path)
    return f'became a link to {target}' if target else 'became a queue'


def to_pickle(path, rng):
    path.write_bytes(pickle.dumps({'images': np.zeros((2, 3)), 'frames': [Path('x')]}))
    return 'became a pickle'


# JSON


def places_in(node, path=()):
    """The paths of all values below a JSON value."""
    items = node.items() if isinstance(node, dict) else enumerate(node) if isinstance(node, list) else ()
    found = []
    for key, value in items:
        found += [(*path, key), *places_in(value, (*path, key))]
    return found


def json_entry(path, rng):
    """Replace, remove or repeat one entry: at any depth with the same chance, as numbers of matrices are most entries."""
    content = json.loads(path.read_text())
    places = places_in(content)
    depth = choose(rng, sorted({len(place) for place in places}))
    *above, key = choose(rng, [place for place in places if len(place) == depth])
    node = content
    for step in above:
        node = node[step]
    kind = choose(rng, ('value', 'value', 'shape', 'remove', 'remove', 'repeat', 'text'))
    if kind == 'remove':
        del node[key]
    elif kind == 'repeat' and isinstance(node, list):
        node.insert(int(key), node[key])
    elif kind == 'text':
        node[key] = json.dumps(node[key])
    else:
        node[key] = choose(rng, ODD_VALUES) if kind == 'value' else choose(rng, ODD_SHAPES)
    path.write_text(json.dumps(content))
    return f'{kind} at {[*above, key]}: {repr(node)[:60]}'


def json_key_twice(path, rng):
    content = json.loads(path.read_text())
    key = choose(rng, sorted(content))
    text = json.dumps(content)
    path.write_text(text[:-1] + f', {json.dumps(key)}: {json.dumps(choose(rng, ODD_VALUES))}}}')
    return f'key {key} twice'


def json_deep(path, rng):
    depth = 10 ** int(rng.integers(2, 6))
    path.write_text('{"frames": ' + '[' * depth + ']' * depth + '}')
    return f'{depth} brackets'


# Text


def text_word(path, rng):
    lines = [line.split(' ') for line in path.read_text().split('\n')]
    i = rng.integers(len(lines))
    j = rng.integers(len(lines[i]))
    kind = choose(rng, ('replace', 'replace', 'remove', 'repeat'))
    lines[i][j : j + 1] = {'replace': [choose(rng, ODD_WORDS)], 'remove': [], 'repeat': 2 * lines[i][j : j + 1]}[kind]
    path.write_text('\n'.join(map(' '.join, lines)))
    return f'{kind} word {j} of line {i}: {" ".join(lines[i])[:60]}'


def text_line(path, rng):
    lines = path.read_text().split('\n')
    i, kind = rng.integers(len(lines)), choose(rng, ('remove', 'repeat', 'empty', 'join', 'move'))
    changed = {
        'remove': [],
        'repeat': [lines[i]] * 2,
        'empty': [lines[i], ''],
        'join': [' '.join(lines[i : i + 2])],
        'move': [],
    }
    lines[i : i + 1 + (kind == 'join')] = changed[kind]
    path.write_text('\n'.join(lines if kind != 'move' else lines[i:] + lines[:i]))
    return f'{kind} line {i}'


# Binary numbers


def binary_number(path, rng):
    data = bytearray(path.read_bytes())
    value, layout = choose(rng, [*((count, '<Q') for count in COUNTS), *((double, '<d') for double in DOUBLES)])
    at = choose(rng, (0, 8, 12, 16, 24, int(rng.integers(max(1, len(data))))))
    data[at : at + 8] = struct.pack(layout, value)
    path.write_bytes(data)
    return f'{value} at {at}'


# Arrays


def array_header(path, rng):
    """Say another shape, type or order in the header of a npy file, or of one in a npz archive."""
    shapes = ((10**12, 17), (2**40,), (), (0,), (-1, 17), (3, 3), (2**62, 2**62), (5, 24, 32, 3, 1))
    kinds = ('|O', '<f4', '<f8', '>f8', '<i8', '<c16', '<U5', '|V8', '|b1')
    asked = {'shape': choose(rng, shapes), 'descr': choose(rng, kinds), 'fortran_order': True}
    key = choose(rng, sorted(asked))

    def change(data):
        length = struct.unpack_from('<H', data, 8)[0]
        header = eval(data[10 : 10 + length], {})  # written by NumPy just before
        text = str({**header, key: asked[key]}).encode().ljust(length - 1) + b'\n'
        return data[:8] + struct.pack('<H', len(text)) + text + data[10 + length :]

    return f'{_change_array(path, rng, change)} says {key} {asked[key]}'


def array_values(path, rng):
    """Other values in a npy file, or in one in a npz archive."""
    value, share = choose(rng, (*DOUBLES, 2.0, -0.5)), choose(rng, (0.001, 0.05, 1.0))

    def change(data):
        length = 10 + struct.unpack_from('<H', data, 8)[0]
        kind = np.dtype('<f4') if b'<f4' in data[:length] else np.dtype('<f8')
        values = np.frombuffer(data[length:], kind).copy()
        with np.errstate(over='ignore'):
            values[rng.random(len(values)) < share] = np.float64(value).astype(kind)
            values[rng.integers(len(values))] = np.float64(value).astype(kind)
        return data[:length] + values.tobytes()

    return f'{_change_array(path, rng, change)} has {value} in {share}'


def _change_array(path, rng, change):
    if path.suffix == '.npy':
        path.write_bytes(change(path.read_bytes()))
        return path.name
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    name = choose(rng, sorted(members))
    members[name] = change(members[name])
    with zipfile.ZipFile(path, 'w', choose(rng, (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED))) as archive:
        for each, content in members.items():
            archive.writestr(each, content)
    return name


def array_pickled(path, rng):
    """Arrays of Python objects, which NumPy would unpickle if it was allowed to."""
    objects = np.array([{'a': 1}, Path('x')], object)
    if path.suffix == '.npy':
        np.save(path, objects, allow_pickle=True)
        return 'objects'
    arrays = dict(np.load(path))
    name = choose(rng, sorted(arrays))
    np.savez(path, **{**arrays, name: objects})
    return f'{name}: objects'


def archive_members(path, rng):
    """A member of a npz archive that is missing, there twice, or named otherwise."""
    with zipfile.ZipFile(path) as archive:
        members = [(name, archive.read(name)) for name in archive.namelist()]
    i, kind = rng.integers(len(members)), choose(rng, ('remove', 'repeat', 'rename'))
    name, content = members.pop(i)
    members += {'remove': [], 'repeat': 2 * [(name, content)], 'rename': [(f'../{name}', content)]}[kind]
    with zipfile.ZipFile(path, 'w') as archive, warnings.catch_warnings():
        warnings.simplefilter('ignore')  # a name that is there twice
        for each in members:
            archive.writestr(*each)
    return f'{kind} {name}'


# Images


def image_header(path, rng):
    """A PNG that says another size, depth or colour type; the header's checksum is right."""
    data = bytearray(path.read_bytes())
    place, layout, values = choose(
        rng, ((16, '>I', SIDES), (20, '>I', SIDES), (24, '>B', (1, 2, 4, 16)), (25, '>B', (0, 2, 3, 4, 7)))
    )
    value = choose(rng, values)
    struct.pack_into(layout, data, place, value)
    struct.pack_into('>I', data, 29, zlib.crc32(data[12:29]))
    path.write_bytes(data)
    return f'{value} at {place} of the header'


def image_kind(path, rng):
    """The image as another kind of file, or of another mode."""
    mode, kind = choose(
        rng,
        (
            *((mode, 'PNG') for mode in ('RGB', 'L', 'LA', '1', 'P', 'I;16')),
            *(('RGB', kind) for kind in ('JPEG', 'WEBP', 'GIF', 'BMP', 'TIFF', 'PPM', 'EPS', 'ICO', 'TGA', 'PDF')),
            *(('CMYK', 'JPEG'), ('F', 'TIFF'), ('L', 'JPEG')),
        ),
    )
    with Image.open(path) as image:
        grey = np.asarray(image.convert('L'), np.uint16)
        (Image.fromarray(257 * grey) if mode == 'I;16' else image.convert(mode)).save(path, kind)
    return f'{kind} of mode {mode}'


def image_size(path, rng):
    with Image.open(path) as image:
        width, height = image.size
        changed = choose(
            rng, ((width + 1, height), (height, width), (2 * width, 2 * height), (1, 1), (width // 2, height // 2))
        )
        image.resize(changed).save(path, 'PNG')
    return f'{width} x {height} to {changed}'


def folder_gone(path, rng):
    shutil.rmtree(path.parent)
    return 'with all beside it removed'


ANY_FILE = (
    *(cut, cut, empty, remove, flip, flip, flip, overwrite, overwrite, repeat, extend, noise, swap, to_folder, to_link),
    *(to_pickle, folder_gone),
)
BY_ENDING = {
    '.json': (json_entry, json_entry, json_entry, json_entry, json_entry, json_key_twice, json_deep),
    '.txt': (text_word, text_word, text_line),
    '.bin': (binary_number,),
    '.npy': (array_header, array_values, array_values, array_pickled),
    '.npz': (array_header, array_values, array_values, array_pickled, archive_members),
    '.png': (image_header, image_kind, image_size),
}


def mutate(folder: Path, rng: np.random.Generator) -> tuple[set[str], str]:
    """Damage one file, or two, in a folder: the names of those that were chosen, and what was done."""
    done, names = [], set()
    for _ in range(1 + (rng.random() < 0.15)):
        files = sorted(path for path in folder.rglob('*') if path.is_file())
        if not files:
            break
        ending = choose(rng, sorted({path.suffix for path in files}))
        path = choose(rng, [path for path in files if path.suffix == ending])
        mutation = choose(rng, BY_ENDING[ending] if rng.random() < 0.65 and ending in BY_ENDING else ANY_FILE)
        try:
            said = mutation(path, rng)
        except Exception as error:  # of a file that is damaged already
            if not done:
                raise
            said = f'{mutation.__name__} failed: {error}'
        names.add(path.name)
        done.append(f'{path.relative_to(folder)} {said}')
    return names, '; '.join(done)
