"""Plain English, as far as it needs no judgement: functions begin with a verb, and no sentence has a banned turn."""

import ast
import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
FILES = [*sorted(ROOT.glob('nerf/**/*.py')), *sorted(ROOT.glob('configs/*.py')), ROOT / 'main.py', ROOT / 'render.py']
NO_VERB = ('A', 'An', 'The', 'What', 'Where', 'How', 'Whether', 'One', 'All', 'For')
# Turns of no paper and no library, for which a stranger could not search.
BANNED = (
    *('what arrives', 'where to look', 'without a word', 'sees to it', 'looks promising', 'bent space', 'half stopped'),
    *(
        'backdrop',
        'errand',
        'baked',
        'baking',
        'is heard',
        'told to keep quiet',
        'looks for them',
        'magic',
        'stumble',
        'stumbles',
    ),
)


def functions(tree):
    """Public functions and methods, also of classes, but none within functions."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef) and not node.name.startswith('_'):
            if not any('property' in ast.unparse(each) for each in node.decorator_list):
                yield node
        elif isinstance(node, ast.ClassDef):
            yield from functions(node)


def faults(source):
    """Each fault with its line."""
    tree = ast.parse(source)
    for node in functions(tree):
        first = (ast.get_docstring(node) or 'None').split()[0].strip(',:;')
        if first in NO_VERB:
            yield f'{node.lineno}: {node.name} begins with {first!r}, expected a verb'
    for node in ast.walk(tree):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = ' '.join(node.value.split()).lower()
            yield from (f'{node.lineno}: {turn!r}' for turn in BANNED if re.search(rf'\b{turn}\b', text))


@pytest.mark.parametrize('path', FILES, ids=lambda path: str(path.relative_to(ROOT)))
def test_functions_begin_with_a_verb_and_no_turn_is_banned(path):
    found = list(faults(path.read_text()))
    assert not found, '\n'.join(f'{path.relative_to(ROOT)}:{fault}' for fault in found)


def test_a_fault_is_found():
    source = '''
class Camera:
    """A camera."""

    @property
    def centre(self):
        """The centre."""

    def cast(self):
        """The ray of a pixel."""

def weights():
    """Compute what
    arrives."""
'''
    assert list(faults(source)) == ["9: cast begins with 'The', expected a verb", "13: 'what arrives'"]
