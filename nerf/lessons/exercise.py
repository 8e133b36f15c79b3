"""One exercise: its truth, and the wrong answers that are typical, each with the sentence that answers it."""

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np


class NotAnsweredError(Exception):
    """The reader's function returns nothing yet."""


def given(result: Any) -> Any:
    """Return the result of a reader's function, as it is.

    Raises:
        NotAnsweredError: it is None or dots.
    """
    if result is None or result is ...:
        raise NotAnsweredError
    return result


def call(function: Callable[..., Any], *args: Any) -> np.ndarray:
    """Call a reader's function, and return its result as numbers.

    Raises:
        NotAnsweredError: it returns None or dots.
    """
    return np.asarray(given(function(*args)), np.float64)


@dataclasses.dataclass(frozen=True)
class Mistake:
    """A typical wrong answer.

    Attributes:
        answer: as a reader would give it.
        sentence: what is likely wrong with it.
    """

    answer: Any
    sentence: str


@dataclasses.dataclass(frozen=True)
class Exercise:
    """One exercise, whose answer is a number, an array or a function.

    Attributes:
        against: what the truth comes from, such as a closed form, exact geometry, sampling or brute force.
        truth: computes what `read` makes of a right answer.
        because: a sentence for those who were right: why it is so, or what it is good for.
        mistakes: typical wrong answers.
        read: makes numbers of an answer; a function is called here, on data of the exercise.
        atol: largest difference from the truth that passes.
    """

    against: str
    truth: Callable[[], Any]
    because: str
    mistakes: tuple[Mistake, ...]
    read: Callable[[Any], Any] = lambda answer: answer
    atol: float = 1e-3

    def numbers(self, answer: Any) -> np.ndarray:
        """Return an answer as the numbers that are compared."""
        return np.asarray(self.read(answer), np.float64)

    def agrees(self, found: np.ndarray, wanted: np.ndarray) -> bool:
        """Return whether two sets of numbers are the same within `atol`."""
        return found.shape == wanted.shape and bool(np.allclose(found, wanted, rtol=0, atol=self.atol))
