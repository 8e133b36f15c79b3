"""docs/equations.md is complete: every public function, every equation that a docstring cites, every tag of a notebook."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / 'docs/equations.md').read_text()
CELL = re.compile(r'(?<!\\)\|')
ROWS = [[cell.strip() for cell in CELL.split(line)[1:-1]] for line in TEXT.splitlines() if line.startswith('| `')]
EQUATIONS = [row for row in ROWS if row[0].startswith('`eq:')]


def functions(path):
    return {node.name: node for node in ast.parse(path.read_text()).body if isinstance(node, ast.FunctionDef)}


MODULES = {path.stem: functions(path) for path in (ROOT / 'nerf/ray').glob('*.py')}
TESTS = {path.stem: functions(path) for path in (ROOT / 'tests/ray').glob('test_*.py')}


def test_rows_have_six_cells_and_tags_are_unique():
    assert len(EQUATIONS) > 40
    assert {len(row) for row in EQUATIONS} == {6}
    assert {len(row) for row in ROWS if row not in EQUATIONS} == {2}
    tags = [row[0] for row in EQUATIONS]
    assert len(tags) == len(set(tags))


def test_every_public_function_of_one_ray_has_a_row():
    rows = [row[3] for row in EQUATIONS] + [row[0] for row in ROWS if row not in EQUATIONS]
    public = {f'`{module}.{name}`' for module, found in MODULES.items() for name in found if not name.startswith('_')}
    assert set(rows) == public


@pytest.mark.parametrize('row', EQUATIONS, ids=lambda row: row[0])
def test_the_function_the_test_and_the_notebook_exist(row):
    _, _, latex, function, test, notebook = row
    assert latex
    module, _, name = function.strip('`').partition('.')
    assert name in MODULES[module]
    module, _, name = test.strip('`').partition('.')
    assert name in TESTS[module]
    assert notebook == '-' or list((ROOT / 'notebooks').glob(f'{notebook}_*.ipynb'))


def cited(node):
    """Pairs of paper and equation number that a function's docstring cites."""
    text = ' '.join((ast.get_docstring(node) or '').split())
    yield from re.findall(r'(mip-NeRF 360|mip-NeRF|NeRF|)(?:,| paper)? ?\(?equation (\d+)', text)


@pytest.mark.parametrize('module', MODULES)
def test_every_equation_that_a_docstring_cites_has_a_row(module):
    for name, node in MODULES[module].items():
        for paper, number in cited(node):
            rows = [row for row in EQUATIONS if row[3] == f'`{module}.{name}`']
            wanted = f'{paper or "instant-ngp"}, equation {number}'
            assert wanted in [row[1] for row in rows], f'{module}.{name} cites {wanted}'


def test_a_citation_is_found():
    source = 'def f():\n    """Compute (mip-NeRF 360, equation 15). The NeRF paper (equation 4) too."""'
    assert list(cited(ast.parse(source).body[0])) == [('mip-NeRF 360', '15'), ('NeRF', '4')]


@pytest.mark.parametrize('path', sorted((ROOT / 'notebooks').glob('*.ipynb')), ids=lambda path: path.stem)
def test_tags_of_notebooks_are_rows_that_name_the_notebook(path):
    rows = {row[0].strip('`'): row for row in EQUATIONS}
    for tag in set(re.findall(r'eq:[a-z0-9-]+', path.read_text())):
        assert tag in rows, tag
        assert rows[tag][5] == path.stem[:2]


def test_tags_of_the_theory_are_rows():
    tags = set(re.findall(r'`(eq:[a-z0-9-]+)`', (ROOT / 'docs/theory.md').read_text()))
    assert len(tags) > 20
    assert tags <= {row[0].strip('`') for row in EQUATIONS}
