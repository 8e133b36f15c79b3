"""Splits of a scene into training and held-out views, by the same rules for all formats."""

from collections.abc import Hashable, Sequence
from typing import TypeVar

Entry = TypeVar('Entry', bound=Hashable)
HOLD_OUT = 8  # every 8th image, from the first, where a format gives no splits (LLFF's rule)


def hold_out(count: int, test_every: int | None) -> list[str]:
    """Return the split of each of `count` images in order: from the first, every 8th (`test_every`th) is test, others train."""
    every = test_every or HOLD_OUT
    return ['train' if i % every else 'test' for i in range(count)]


def thin_out(entries: Sequence[Entry], splits: Sequence[str], test_every: int | None) -> list[Entry]:
    """Return the entries, in order, with only every `test_every`th of the test entries; None keeps all."""
    tests = [entry for entry, split in zip(entries, splits, strict=True) if split == 'test']
    left_out = set(tests) - set(tests[:: test_every or 1])
    return [entry for entry in entries if entry not in left_out]
