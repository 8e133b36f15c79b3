"""Checks of the notebooks' exercises: `check('02.3', answer)` prints that it is right, or a sentence about the likely error."""

import importlib
from typing import Any

import numpy as np

from nerf.errors import unknown
from nerf.lessons.exercise import Exercise, NotAnsweredError

LESSONS = ('00', '01', '02', '03', '04', '05', '06', '07', '08')


def exercises(lesson: str) -> dict[str, Exercise]:
    """Return the exercises of one notebook by tag, such as 02.1."""
    return importlib.import_module(f'nerf.lessons.exercises.lesson_{lesson}').EXERCISES


def check(tag: str, answer: Any = ...) -> None:
    """Print whether the answer to an exercise is right, and if not, what is likely wrong with it.

    Raises:
        UserError: an exercise that does not exist, with those that do.
    """
    print(f'{tag} {verdict(tag, answer)[1]}')


def verdict(tag: str, answer: Any = ...) -> tuple[bool, str]:
    """Judge an answer: whether it is right, and a sentence.

    Raises:
        UserError: an exercise that does not exist, with those that do.
    """
    lesson = tag.split('.')[0]
    if lesson not in LESSONS or tag not in exercises(lesson):
        raise unknown('exercise', tag, [each for one in LESSONS for each in exercises(one)])
    exercise = exercises(lesson)[tag]
    if answer is None or answer is ...:
        return False, 'has no answer yet: replace the dots by yours, then run this cell again.'
    try:
        found = exercise.numbers(answer)
    except NotAnsweredError:
        return False, 'has no answer yet: your function returns nothing.'
    except Exception as error:  # the reader's code: whatever it raises is shown as a sentence
        return False, f'cannot be read: {type(error).__name__}: {error}'
    wanted = np.asarray(exercise.truth(), np.float64)
    if exercise.agrees(found, wanted):
        return True, f'is right. {exercise.because}'
    for mistake in exercise.mistakes:
        if exercise.agrees(found, exercise.numbers(mistake.answer)):
            return False, f'is not right: {mistake.sentence}'
    return False, f'is not right: {_difference(found, wanted)}'


def _difference(found: np.ndarray, wanted: np.ndarray) -> str:
    """Say how an answer differs from the truth, without giving the truth away."""
    if found.shape != wanted.shape:
        return f'expected shape {wanted.shape}, found {found.shape}.'
    if not np.all(np.isfinite(found)):
        return 'there is a value that is not finite.'
    if np.allclose(found, -wanted, rtol=1e-3):
        return 'the sign is wrong.'
    if found.ndim == 0:
        return f'{found:.6g} is too {"large" if found > wanted else "small"}.'
    at = np.unravel_index(np.argmax(np.abs(found - wanted)), found.shape)
    side = 'large' if found[at] > wanted[at] else 'small'
    return f'{found[at]:.6g} at index {", ".join(map(str, at))} is too {side}.'
