"""Reading of files that others may have written: their kind and size are checked before memory is taken.

Nothing here unpickles or evaluates, waits for a pipe, or reads a device.
"""

import codecs
import contextlib
import dataclasses
import hashlib
import io
import json
import math
import os
import stat
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from nerf.errors import UserError

MAX_DEPTH = 64  # lists and objects within each other in a JSON file
MAX_DIRECTORY = 2**20  # bytes of an archive's list of members
# Byte order marks at the beginning of a text; that of UTF-32 begins with that of UTF-16.
MARKS = (
    (codecs.BOM_UTF8, 'utf-8-sig'),
    (codecs.BOM_UTF32_LE, 'utf-32'),
    (codecs.BOM_UTF32_BE, 'utf-32'),
    (codecs.BOM_UTF16_LE, 'utf-16'),
    (codecs.BOM_UTF16_BE, 'utf-16'),
)


class UnreadableError(Exception):
    """A file that cannot be read or trusted; the message is the reason, in a few words and without the path."""


class MissingError(UnreadableError):
    """A file that does not exist."""


@dataclasses.dataclass(frozen=True)
class ArrayHeader:
    """What a stored array says about itself before it is read."""

    shape: tuple[int, ...]
    dtype: np.dtype


def reason_of(error: BaseException) -> str:
    """Return the reason of an error in one printable line of at most 200 characters."""
    text = error.strerror if isinstance(error, OSError) and error.strerror else str(error) or type(error).__name__
    line = ' '.join(text.split())
    return (line if line.isprintable() else ascii(line))[:200]


@contextlib.contextmanager
def open_file(path: str | Path, most: int) -> Iterator[BinaryIO]:
    """Open a regular file of at most `most` bytes; a pipe does not make it wait.

    Raises:
        MissingError: no such file.
        UnreadableError: a folder, device or pipe, a file that is too long or that may not be read.
    """
    try:
        _expect_regular(os.stat(path), most)
        # Looked at again once it is open: the name may stand for another file by then.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, 'O_NONBLOCK', 0) | getattr(os, 'O_BINARY', 0))
        with open(descriptor, 'rb') as file:
            _expect_regular(os.fstat(descriptor), most)
            yield file
    except (FileNotFoundError, NotADirectoryError) as error:
        raise MissingError('No such file') from error
    except (OSError, ValueError) as error:  # a name with a NUL is a ValueError
        raise UnreadableError(f'cannot be read ({reason_of(error)})') from error


def _expect_regular(status: os.stat_result, most: int) -> None:
    if not stat.S_ISREG(status.st_mode):
        raise UnreadableError('cannot be read, as it is no file')
    if status.st_size > most:
        raise UnreadableError(f'has more than {most} bytes, {status.st_size}')


def read_bytes(path: str | Path, most: int) -> bytes:
    """Read a file of at most `most` bytes.

    Raises:
        UnreadableError: see `open_file`.
    """
    with open_file(path, most) as file:
        content = file.read(most + 1)
    if len(content) > most:  # it has grown
        raise UnreadableError(f'has more than {most} bytes')
    return content


def decode_text(content: bytes) -> str:
    """Decode a text: UTF-8 or, as some editors and shells write it, UTF-16 or UTF-32 by its byte order mark, which is removed.

    Raises:
        UnreadableError: it is none of these.
    """
    encoding = next((encoding for mark, encoding in MARKS if content.startswith(mark)), 'utf-8')
    try:
        return content.decode(encoding)
    except UnicodeDecodeError as error:
        raise UnreadableError(f'is no text in {encoding.removesuffix("-sig").upper()}; save it as UTF-8') from error


def read_json(path: str | Path, most: int) -> Any:
    """Read a JSON file of at most `most` bytes and `MAX_DEPTH` levels.

    Raises:
        UnreadableError: it cannot be read or is no such JSON.
    """
    try:
        content = json.loads(decode_text(read_bytes(path, most)))
        level, depth = [content], 0
        while level:
            depth += 1
            if depth > MAX_DEPTH + 1:
                raise UnreadableError(f'is nested deeper than {MAX_DEPTH} levels')
            level = [below for each in level for below in _values_in(each)]
    except (ValueError, RecursionError, MemoryError) as error:
        raise UnreadableError(f'is not valid JSON ({reason_of(error)})') from error
    return content


def _values_in(value: Any) -> list[Any]:
    values = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    return [each for each in values if isinstance(each, dict | list)]


def checksum(content: Any) -> str:
    """Compute the SHA-256 of a JSON value, whatever the order of its keys and its white space."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def checksum_of_arrays(arrays: Mapping[str, np.ndarray]) -> str:
    """Compute the SHA-256 of arrays: names, dtypes, shapes and values."""
    digest = hashlib.sha256()
    for name in sorted(arrays):
        values = np.asarray(arrays[name])
        digest.update(f'{name} {values.dtype.str} {values.shape}\n'.encode())
        digest.update(np.ascontiguousarray(values).tobytes())
    return digest.hexdigest()


def read_arrays(
    path: str | Path, most: int, check: Callable[[dict[str, ArrayHeader]], None] = lambda headers: None
) -> dict[str, np.ndarray]:
    """Read all arrays of an npz archive of at most `most` bytes unpacked; never pickled objects.

    `check` is given the headers before memory is taken for the arrays, and may raise a `UserError` or `UnreadableError`.

    Raises:
        UnreadableError: it cannot be read, is no such archive, or says other sizes than it has.
    """
    try:
        with open_file(path, most + MAX_DIRECTORY) as file:
            _check_directory(file)
            with zipfile.ZipFile(file) as archive:
                headers = _read_headers(archive, most)
                check(headers)
                return {name: _read_array(archive, name, header) for name, header in headers.items()}
    except (UserError, UnreadableError):
        raise
    except Exception as error:  # damaged archives raise almost anything
        raise UnreadableError(f'cannot be read ({reason_of(error)})') from error


def _check_directory(file: BinaryIO) -> None:
    """Refuse a list of members so long that it alone would fill the memory, or with the fields of very large archives."""
    size = file.seek(0, os.SEEK_END)
    file.seek(max(0, size - 2**16 - 22 - 20))
    tail, end = file.read(), b'PK\x05\x06'
    at = len(tail) - 22
    if tail[at : at + 4] != end:
        at = tail.rfind(end)
    if at < 0:
        raise UnreadableError('is not an npz archive of arrays')
    is_large = tail[max(0, at - 20) : at].startswith(b'PK\x06\x07')
    if is_large or int.from_bytes(tail[at + 12 : at + 16], 'little') > MAX_DIRECTORY:
        raise UnreadableError('has too many members')


def _read_headers(archive: zipfile.ZipFile, most: int) -> dict[str, ArrayHeader]:
    """Read the header of each array; check that the archive says it has all of the bytes of it, and no more in all."""
    members = archive.infolist()
    if sum(member.file_size for member in members) > most:
        raise UnreadableError(f'holds more than {most} bytes')
    headers = {}
    for member in members:
        name = member.filename.removesuffix('.npy')
        if name == member.filename or name in headers:
            raise UnreadableError('has a member that is no array, or is there twice')
        with archive.open(member) as content:
            shape, _, dtype = _read_header(content)
            held = member.file_size - content.tell()
        if dtype.hasobject:
            raise UnreadableError(f'{name} holds pickled Python objects, which are never read')
        if min(shape, default=0) < 0 or math.prod(shape) * dtype.itemsize != held:
            raise UnreadableError(f'{name} of shape {shape} does not fit the {held} bytes there are')
        headers[name] = ArrayHeader(shape, dtype)
    return headers


def _read_header(content: Any) -> tuple[tuple[int, ...], bool, np.dtype]:
    version = np.lib.format.read_magic(content)
    read: Any = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    return read(content)


def _read_array(archive: zipfile.ZipFile, name: str, header: ArrayHeader) -> np.ndarray:
    with archive.open(f'{name}.npy') as content:
        shape, is_fortran, dtype = _read_header(content)
        if (shape, dtype) != (header.shape, header.dtype):
            raise UnreadableError(f'{name} has changed while it was read')
        values = bytearray(math.prod(shape) * dtype.itemsize)
        at = 0
        while at < len(values):
            part = content.read(min(2**20, len(values) - at))
            if not part:
                raise UnreadableError(f'{name} is cut off')
            values[at : at + len(part)] = part
            at += len(part)
        content.read(1)  # the end, at which the archive's checksum of the member is compared
    return np.frombuffer(values, dtype).reshape(shape, order='F' if is_fortran else 'C')


def sha256_of(path: str | Path, size: int) -> str:
    """Compute the SHA-256 of a file of exactly this size.

    Raises:
        UnreadableError: it has another size or cannot be read, see `open_file`.
    """
    with open_file(path, size) as file:
        if os.fstat(file.fileno()).st_size != size:
            raise UnreadableError(f'found {os.fstat(file.fileno()).st_size} of {size} bytes')
        return hashlib.file_digest(file, 'sha256').hexdigest()


def npz_bytes(arrays: Mapping[str, np.ndarray], is_packed: bool = False) -> bytes:
    """Return the npz archive of these arrays."""
    content = io.BytesIO()
    (np.savez_compressed if is_packed else np.savez)(content, **arrays)
    return content.getvalue()
