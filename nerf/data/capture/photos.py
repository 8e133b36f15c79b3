"""Photos in a folder and its subfolders: which files are photos, what they are called in the scene, and what is left out."""

import os
import re
from collections import Counter
from collections.abc import Iterator, Sequence

from PIL import Image

from nerf.data.image_kinds import KINDS, register_heif
from nerf.data.names import same_file
from nerf.errors import UserError, printable

VIDEO_ENDINGS = ('.mov', '.mp4', '.m4v', '.avi', '.mkv', '.webm', '.3gp', '.mts', '.insv', '.h264', '.h265')
RAW_ENDINGS = ('.dng', '.cr2', '.cr3', '.nef', '.arw', '.raf', '.orf', '.rw2', '.gpr', '.raw')
# Pictures that are none of the camera's: of archives of macOS, of Synology's disks, and masks of the photos.
NOT_PHOTOS = ('__macosx', '@eadir', 'thumbnails', 'mask', 'masks')
MOST_FILES, DEEPEST, LONGEST_STEM = 100_000, 8, 150  # files, folders below each other, bytes
NEEDS_HEIF, DAMAGED = 'install pillow-heif to read them', 'damaged'


class LeftOut:
    """What of a folder is not used, and why."""

    def __init__(self) -> None:
        """Begin with nothing."""
        self._files = {}

    def add(self, name: str, reason: str = '') -> None:
        """Count a file that is not used."""
        self._files.setdefault((_ending_of(name), reason), []).append(name)

    def __str__(self) -> str:
        """Say it in one line, by ending and number; damaged files by name, as they were meant to be used; '' if none."""
        said = []
        for (ending, reason), names in sorted(self._files.items(), key=lambda item: (-len(item[1]), item[0])):
            if reason == DAMAGED:
                reason = f'{reason}: {", ".join(sorted(names)[:3])}{", ..." if names[3:] else ""}'
            said.append(f'{len(names)} {ending or "without ending"}' + (f' ({reason})' if reason else ''))
        return printable(f'left out: {", ".join(said)}') if said else ''


def readable_kinds() -> list[str]:
    """Return the kinds of photos that Pillow, as it is installed, reads."""
    Image.init()
    return [kind for kind in KINDS if kind in Image.OPEN]


def list_photos(source: str, left_out: LeftOut) -> list[str]:
    """List the photos in a folder and its subfolders, as paths from there, sorted; note the files that are not used.

    Hidden files are skipped, and no link is followed.

    Raises:
        UserError: more than MOST_FILES files.
    """
    has_heif = register_heif()
    endings, photos = {ending for kind in readable_kinds() for ending in KINDS[kind].endings}, []
    for name, skipped in _files_below(source):
        ending = _ending_of(name)
        if skipped:
            left_out.add(name, skipped)
        elif ending in endings:
            photos.append(name)
        elif ending in KINDS['HEIF'].endings and not has_heif:
            left_out.add(name, NEEDS_HEIF)
        else:
            left_out.add(name, 'video' if ending in VIDEO_ENDINGS else 'raw, export JPEGs' if ending in RAW_ENDINGS else '')
    return sorted(photos)


def _files_below(source: str) -> Iterator[tuple[str, str]]:
    """Yield the files that are not hidden, as paths from `source`, each with why it is skipped, or ''."""
    count, folders = 0, [('', '')]
    while folders:
        folder, skipped = folders.pop()
        with os.scandir(os.path.join(source, folder)) as listed:
            entries = sorted(listed, key=lambda entry: entry.name)
        whole = {entry.name for entry in entries}
        for entry in entries:
            count += 1
            if count > MOST_FILES:
                raise UserError(f'{source}: holds more than {MOST_FILES:,} files; give the folder of the photos alone')
            name = os.path.join(folder, entry.name)
            if entry.name.startswith('.') or entry.name.lower() == '__macosx':
                continue
            if entry.is_symlink():
                yield name, 'link'
            elif entry.is_dir() and name.count(os.sep) < DEEPEST:
                folders.append((name, skipped or _why_not(entry.name, whole)))
            elif entry.is_file():
                yield name, skipped


def _why_not(folder: str, beside: set[str]) -> str:
    """Return why the pictures in a folder are not photos, or ''; `beside` are the names around it."""
    if folder.lower() in NOT_PHOTOS:
        return f'in {folder}'
    is_smaller = re.fullmatch(r'images_\d+', folder) and 'images' in beside
    return 'smaller copies' if is_smaller else ''


def names_of(paths: Sequence[str]) -> list[str]:
    """Return distinct names in the scene, without ending, for photos with these paths.

    These are the path without ending; the ending and a number are added where two would be the same. Spaces and the like are
    replaced, which COLMAP's lists of pairs do not allow.
    """
    plain = [_clean(os.path.splitext(path)[0]) for path in paths]
    counts = Counter(map(same_file, plain))
    names, used = [], set()
    for path, stem in zip(paths, plain, strict=True):
        name = stem if counts[same_file(stem)] == 1 else _clean(stem + '_' + _ending_of(path)[1:])
        tries = (name, *(f'{name}_{i}' for i in range(2, len(paths) + 2)))
        names.append(next(each for each in tries if same_file(each) not in used))
        used.add(same_file(names[-1]))
    return names


def _clean(stem: str) -> str:
    whole = re.sub(r'[^\w.-]', '_', stem)
    return whole.encode(errors='replace')[-LONGEST_STEM:].decode(errors='ignore').lstrip('.') or '_'


def _ending_of(name: str) -> str:
    return os.path.splitext(name)[1].lower()[:12]
