"""Paths of images as the files of scenes list them, which other tools wrote on other machines, and the files they stand for.

A path may have backslashes, an absolute folder of Windows or POSIX, another ending than the file or none, and accents in
another Unicode form. Whatever it says, the file is one of the scene folder.
"""

import os
import re
import unicodedata
from collections.abc import Iterator, Sequence

from nerf.data.formats.json_files import say_once
from nerf.data.image_kinds import ENDINGS
from nerf.errors import UserError

FOLDER = 'images'  # smaller copies of its files lie in images_2, images_4, ...
MAX_PARTS = 64  # folders of an absolute path that are compared with the scene's


class SceneFiles:
    """The files of one folder by the names that others gave them; every folder in it is listed once at most.

    Attributes:
        folder: the scene's.
        moved: path as it is listed, and path within the folder, of each file that was found by the end of its path alone.
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        self.moved: dict[str, str] = {}
        self._roots = [_parts(path(folder))[1] for path in (os.path.abspath, os.path.realpath)]
        self._listings: dict[str, dict[str, str]] = {}

    def find(self, name: str) -> str | None:
        """Find the file of a name within the folder, also if only its ending differs or is missing; None if there is none."""
        is_absolute, parts = _parts(name)
        is_within = not is_absolute and parts[0] != os.pardir and '\0' not in name
        found = self._literal(name) or (self._find(parts) if is_within else None)
        return found and os.path.join(self.folder, found)

    def locate(self, paths: Sequence[str], where: str, may_relative_move: bool = True) -> list[str]:
        """Return each listed path as one within the folder: that of its file or, if there is none, as it is listed.

        Of an absolute path outside of the folder, the longest end is taken that is a file in the folder; so it is of
        relative ones if none of all `paths` is a file and `may_relative_move`. `where` is the file that lists
        them, for messages.

        Raises:
            UserError: a relative path leaves the folder.
        """
        split = [_parts(path) for path in paths]
        for path, (is_absolute, parts) in zip(paths, split, strict=True):
            if '\0' in path or (not is_absolute and parts[0] == os.pardir):
                raise UserError(f'{where}: file_path {path!r} leaves the scene folder; expected a path within it')
        found = [self._literal(path) or self._inside(*each) for path, each in zip(paths, split, strict=True)]
        is_elsewhere = may_relative_move and not any(found)
        for i, (is_absolute, parts) in enumerate(split):
            if found[i] is None and (is_absolute or is_elsewhere):
                found[i] = self._find_end(parts)
                if found[i] is not None:
                    self.moved[paths[i]] = found[i]
        return [path or os.sep.join(parts) for path, (_, parts) in zip(found, split, strict=True)]

    def say_moved(self, where: str) -> None:
        """Log once that files were found by the ends of their paths; `where` is the file or folder that lists them."""
        if self.moved:
            listed, found = (path if path.isprintable() else ascii(path) for path in next(iter(self.moved.items())))
            say_once(
                f'{where}: {len(self.moved)} of its paths lead elsewhere; files are taken that end alike in the scene folder, '
                f'{listed:.200} as {found} first'
            )

    def _literal(self, path: str) -> str | None:
        """Return a path whose backslashes are letters of a name, as it is, if it is a file."""
        is_name = '\\' in path and os.sep != '\\' and not os.path.isabs(path) and os.pardir not in path.split(os.sep)
        return path if is_name and os.path.isfile(os.path.join(self.folder, path)) else None

    def _inside(self, is_absolute: bool, parts: list[str]) -> str | None:
        """Return the path within the folder of a file that lies in it, None if it does not."""
        if not is_absolute:
            return self._find_any_size(parts)
        for above in self._roots:
            if list(map(_form, parts[: len(above)])) == list(map(_form, above)) and len(parts) > len(above):
                return self._find_any_size(parts[len(above) :])
        return None

    def _find_end(self, parts: list[str]) -> str | None:
        ends = (parts[start:] for start in range(max(0, len(parts) - MAX_PARTS), len(parts)))
        return next(filter(None, map(self._find_any_size, ends)), None)

    def _find_any_size(self, parts: list[str]) -> str | None:
        """Find a file of which perhaps only a smaller copy exists: return where it would be at full size."""
        found = self._find(parts)
        if found is None and parts[0] == FOLDER and len(parts) > 1:
            copies = [each for each in self._listing('') if re.fullmatch(rf'{FOLDER}_\d+', each)]
            smaller = next(filter(None, (self._find([each, *parts[1:]]) for each in copies)), None)
            found = smaller and os.path.join(FOLDER, *smaller.split(os.sep)[1:])
        return found

    def _find(self, parts: list[str]) -> str | None:
        """Return the path within the folder of the file with these folders and name, as the disk spells them."""
        path = os.sep.join(parts)
        if os.path.isfile(os.path.join(self.folder, path)):
            return path
        *above, name = parts
        at = ''
        for part in above:
            listing = self._listing(at)
            spelled = listing.get(part) or listing.get(_form(part))
            if spelled is None:
                return None
            at = os.path.join(at, spelled)
        listing = self._listing(at)
        spellings = (listing.get(each) or listing.get(_form(each)) for each in _with_endings(name))
        paths = (os.path.join(at, spelled) for spelled in spellings if spelled)
        return next((path for path in paths if os.path.isfile(os.path.join(self.folder, path))), None)

    def _listing(self, at: str) -> dict[str, str]:
        """Return the names in a folder by themselves and by their form, small endings before capital ones."""
        if at not in self._listings:
            try:
                names = sorted(os.listdir(os.path.join(self.folder, at)))
            except (OSError, ValueError):
                names = []
            self._listings[at] = {_form(name): name for name in names} | {name: name for name in names}
        return self._listings[at]


def _parts(path: str) -> tuple[bool, list[str]]:
    """Return whether a path begins at a root or drive, of any system, and its folders and name, `.` and `..` resolved."""
    path = path.replace('\\', '/')
    is_absolute = re.match(r'/|[A-Za-z]:/', path) is not None
    path = re.sub(r'^[A-Za-z]:(?=/)', '', path)
    return is_absolute, os.path.normpath(path).replace(os.sep, '/').lstrip('/').split('/')


def _form(name: str) -> str:
    """Return what the spellings of a name have in common: one Unicode form, and the ending in small letters."""
    stem, ending = os.path.splitext(unicodedata.normalize('NFC', name))
    return stem + ending.lower()


def _with_endings(name: str) -> Iterator[str]:
    """Yield the names that a file may have: as it is, with an ending, and with another."""
    stem, ending = os.path.splitext(name)
    yield name
    for begin in [name] if ending[1:2].isdigit() else [name, stem]:  # digits after a dot are not an ending
        yield from (begin + each for each in ENDINGS)
