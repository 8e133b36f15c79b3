"""Every exercise: the solution passes, no answer and each typical mistake fail with the right sentence."""

import contextlib
import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nerf.errors import UserError
from nerf.lessons import checks
from nerf.lessons.exercise import Exercise, Mistake, call

ROOT = Path(__file__).parents[2]
TAGS = [tag for lesson in checks.LESSONS for tag in checks.exercises(lesson)]


@pytest.fixture
def unlisted(monkeypatch):
    """Return a function that adds an exercise 00.9 and gives its verdict on an answer."""

    def judge(exercise, answer):
        monkeypatch.setitem(checks.exercises('00'), '00.9', exercise)
        return checks.verdict('00.9', answer)

    return judge


def exercise(**fields):
    return Exercise(against='test', truth=lambda: 2.0, because='So it is.', mistakes=(Mistake(3.0, 'three.'),), **fields)


@pytest.mark.parametrize('lesson', checks.LESSONS)
def test_solutions_pass(lesson):
    source = (ROOT / 'notebooks' / 'solutions' / f'{lesson}.py').read_text()
    with contextlib.redirect_stdout(io.StringIO()) as printed:
        exec(compile(source, f'solutions/{lesson}.py', 'exec'), {})
    lines = printed.getvalue().splitlines()
    assert [line.split()[0] for line in lines] == list(checks.exercises(lesson))
    assert not [line for line in lines if ' is right. ' not in line]


@pytest.mark.parametrize('tag', TAGS)
def test_no_answer_fails_with_a_sentence(tag):
    for answer in (..., None):
        right, sentence = checks.verdict(tag, answer)
        assert not right
        assert 'no answer yet' in sentence


@pytest.mark.parametrize('tag', TAGS)
def test_typical_mistakes_fail_with_their_sentences(tag):
    mistakes = checks.exercises(tag[:2])[tag].mistakes
    assert len(mistakes) >= 2
    for mistake in mistakes:
        assert checks.verdict(tag, mistake.answer) == (False, f'is not right: {mistake.sentence}')
        assert mistake.sentence.endswith('.')


@pytest.mark.parametrize('tag', TAGS)
def test_an_exercise_says_what_it_is_checked_against(tag):
    assert checks.exercises(tag[:2])[tag].against


def test_an_unknown_exercise_is_refused():
    with pytest.raises(UserError, match=r"unknown exercise '02\.77': expected one of 00\.1, "):
        checks.check('02.77', 1)
    with pytest.raises(UserError, match='unknown exercise'):
        checks.check('77.1', 1)


def test_other_wrong_answers_get_a_sentence_that_does_not_give_the_truth_away(unlisted):
    assert unlisted(exercise(), 2.0005) == (True, 'is right. So it is.')
    assert unlisted(exercise(), 5) == (False, 'is not right: 5 is too large.')
    assert unlisted(exercise(), 1.5) == (False, 'is not right: 1.5 is too small.')
    assert unlisted(exercise(), -2) == (False, 'is not right: the sign is wrong.')
    assert unlisted(exercise(), [2.0]) == (False, 'is not right: expected shape (), found (1,).')
    assert unlisted(exercise(), np.nan) == (False, 'is not right: there is a value that is not finite.')
    rows = Exercise('test', lambda: [1.0, 2.0], 'So it is.', ())
    assert unlisted(rows, [1, 3]) == (False, 'is not right: 3 at index 1 is too large.')


def test_a_function_that_returns_nothing_or_raises_is_answered(unlisted):
    of_one = exercise(read=lambda function: call(function, 1.0))
    assert unlisted(of_one, lambda x: 2 * x)[0]
    assert unlisted(of_one, lambda x: ...) == (False, 'has no answer yet: your function returns nothing.')
    assert unlisted(of_one, lambda x: None) == (False, 'has no answer yet: your function returns nothing.')
    assert unlisted(of_one, lambda x: x / 0) == (False, 'cannot be read: ZeroDivisionError: float division by zero')
    assert 'TypeError' in unlisted(of_one, 3)[1]


LIGHT = """
import importlib, sys
for name in ('tensorflow', 'tensorflow_datasets', 'clu', 'pandas', 'IPython', 'ipywidgets'):
    sys.modules[name] = None
for name in sys.argv[1:]:
    importlib.import_module(name)
"""


def test_lessons_import_without_heavy_packages():
    modules = [str(path.relative_to(ROOT).with_suffix('')).replace('/', '.') for path in ROOT.glob('nerf/lessons/**/*.py')]
    done = subprocess.run([sys.executable, '-c', LIGHT, *modules], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
