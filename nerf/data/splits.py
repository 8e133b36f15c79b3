"""Splits: which images train and which are held out, in all formats alike."""

from collections.abc import Hashable, Sequence
from typing import TypeVar

Entry = TypeVar('Entry', bound=Hashable)
HOLD_OUT = 8  # every 8th image, from the first, where a format says no splits (LLFF's rule)


def hold_out(count: int, test_every: int | None) -> list[str]:
    """Return the split of each of `count` images in order: every 8th, or `test_every`th, is `test`, from the first on."""
    every = test_every or HOLD_OUT
    return ['train' if i % every else 'test' for i in range(count)]


def thin_out(entries: Sequence[Entry], splits: Sequence[str], test_every: int | None) -> list[Entry]:
    """Return the entries without test entries but every `test_every`th; None keeps all. The order stays."""
    tests = [entry for entry, split in zip(entries, splits, strict=True) if split == 'test']
    left_out = set(tests) - set(tests[:: test_every or 1])
    return [entry for entry in entries if entry not in left_out]
