"""Names of images: files are named by them, so whoever wrote a scene or a run must not choose other folders by them."""

import unicodedata
from collections import Counter
from collections.abc import Sequence

from nerf.errors import UserError

SPLITS = ('train', 'val', 'test')
MAX_BYTES = 200  # of a stem: `_depth.png` and the like follow, and a file's name has at most 255
SEPARATORS = '/\\'
# Control characters, halves of characters, line and paragraph separators; and marks that turn the direction of writing.
CATEGORIES = ('Cc', 'Cs', 'Zl', 'Zp', 'Cf')
JOINERS = '\u200c\u200d'  # invisible too, but part of the spelling of some languages


def stem_of(name: str, split: str) -> str:
    """Return an image's name without its split: `r_0` of `test_r_0`."""
    return name.removeprefix(f'{split}_')


def same_file(name: str) -> str:
    """Return what two names have in common that some file systems take for the same."""
    return unicodedata.normalize('NFC', unicodedata.normalize('NFC', name).casefold())


def are_distinct(names: Sequence[str]) -> bool:
    """Return whether each name names a file of its own, on every file system."""
    return len(set(map(same_file, names))) == len(names)


def check_names(names: Sequence[str], splits: Sequence[str], where: str = '') -> None:
    """Check that a file in one folder can be named by the stem of each image, and that no two of a split are the same.

    Refused are folders (a separator, a leading dot), characters that cannot be printed, and names that are empty, of more
    than `MAX_BYTES` bytes, or differ in case alone. `where` is the file or folder that messages begin with.

    Raises:
        UserError: such a name, or an unknown split.
    """
    where = f'{where}: ' if where else ''
    if len(names) != len(splits):
        raise UserError(f'{where}found {len(names)} names of images and {len(splits)} splits, expected as many')
    for name, split in zip(names, splits, strict=True):
        if split not in SPLITS:
            raise UserError(f'{where}image {name!a:.80}: found split {split!a:.20}, expected one of {", ".join(SPLITS)}')
        fault = _fault(stem_of(name, split))
        if fault:
            raise UserError(f'{where}image {name!a:.80}: found a name {fault}, expected a file name alone: rename it')
    counts = Counter((split, same_file(stem_of(name, split))) for name, split in zip(names, splits, strict=True))
    if len(counts) < len(names):
        (split, stem), _ = counts.most_common(1)[0]
        raise UserError(
            f'{where}image {stem!a:.80} of {split}: found its name twice, or twice but for upper and lower case, which is '
            'one file on some disks: rename one'
        )


def _fault(stem: str) -> str:
    """Return what is wrong with a stem; '' if nothing."""
    if not stem or stem.isspace():
        return 'that is empty'
    if any(separator in stem for separator in SEPARATORS) or stem.startswith('.'):
        return 'with a folder or a leading dot'
    if any(unicodedata.category(letter) in CATEGORIES and letter not in JOINERS for letter in stem):
        return 'with a character that cannot be printed'
    size = len(stem.encode())
    return f'of {size} bytes, more than {MAX_BYTES},' if size > MAX_BYTES else ''
