"""Ways to damage numbers, arrays and images at random, each like those of `mutations`."""

import struct
import warnings
import zipfile
import zlib
from pathlib import Path

import numpy as np
from PIL import Image

DOUBLES = (0.0, -1.0, 1e-300, 1e30, 1e300, float('nan'), float('inf'))
COUNTS = (0, 1, 2**16, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**63 - 1, 2**63, 2**64 - 1)
SIDES = (0, 1, 2, 65_500, 1_000_000, 2**31 - 1)


def choose(rng, options):
    return options[rng.integers(len(options))]


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
