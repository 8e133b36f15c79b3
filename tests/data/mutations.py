"""Ways to damage a file at random. Each takes its path and a random generator, and says what it did."""

import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
from mutations_binary import (
    archive_members,
    array_header,
    array_pickled,
    array_values,
    binary_number,
    choose,
    image_header,
    image_kind,
    image_size,
)

NUMBERS = (0, -1, 1, 0.5, 2**31, 2**63, 2**64, 10**30, 1e-30, 1e30, 1e200, -1e308, float('nan'), float('inf'), float('-inf'))
ODD_PATHS = (
    '../../../etc/passwd',
    '/etc/passwd',
    '..\\..\\..\\etc\\passwd',
    'C:\\x\\r_0.png',
    '\\\\?\\C:\\',
    'a\0b',
    'é' * 300,
    '/' * 300,
)
ODD_VALUES = (*NUMBERS, 10**400, None, True, False, '', 'x', '0', *ODD_PATHS)
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


def folder_gone(path, rng):
    shutil.rmtree(path.parent)
    return 'with all beside it removed'


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
