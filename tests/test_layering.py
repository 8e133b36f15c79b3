"""Imports go one way: every file has its row, and no arrow points up.

`ROWS` is the map of the project. A file that is in no row fails the test: whoever adds it decides where it belongs.
"""

import ast
import dataclasses
import os
import subprocess
import sys
from fnmatch import fnmatch
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@dataclasses.dataclass(frozen=True)
class Row:
    """Modules, the rows whose modules they may import (besides each other), and all other packages they need, if few."""

    modules: str
    below: str = ''
    packages: str | None = None


GROUND = 'ground maths'
CORE = f'{GROUND} fields models core'
BESIDE = f'{CORE} host configs data pictures runs'
WITH_TENSORFLOW = f'{BESIDE} stored'
ROWS = {
    # 1. ground: the maths of one ray and the lift, which do not know each other
    'maths': Row('nerf.errors nerf.scene_types nerf.ray nerf.ray.*', packages='jax flax numpy jaxtyping'),
    'ground': Row('nerf.flat nerf.lifting', packages='jax flax numpy jaxtyping'),
    # 2. core
    'fields': Row('nerf.fields nerf.fields.*', GROUND, 'jax flax optax numpy jaxtyping'),
    'models': Row('nerf.models nerf.models.*', f'{GROUND} fields', 'jax flax optax numpy jaxtyping'),
    'core': Row(
        'nerf.train nerf.train.state nerf.train.step nerf.train.optimizer nerf.render nerf.render.image nerf.render.maps'
        ' nerf.render.skip nerf.render.normals',
        f'{GROUND} fields models',
        'jax flax optax numpy jaxtyping',
    ),
    # 3. beside it: no TensorFlow
    'host': Row('nerf.host nerf.host.*', GROUND, 'jax numpy absl ml_collections tqdm'),
    'configs': Row('nerf.config nerf.config_ranges nerf.config_help configs configs.*', CORE, 'ml_collections'),
    'data': Row(
        'nerf.data nerf.data.scene nerf.data.names nerf.data.stored_cameras nerf.data.reading'
        ' nerf.data.images nerf.data.image_kinds nerf.data.poses nerf.data.placement nerf.data.options nerf.data.splits'
        ' nerf.data.formats'
        ' nerf.data.formats.* nerf.data.built_in nerf.data.built_in.* nerf.data.procedural nerf.data.multiscale nerf.data.feed'
        ' nerf.data.feed.batches',
        f'{GROUND} host',
        'jax flax numpy imageio PIL pillow_heif',
    ),
    'runs': Row(
        'nerf.train.checkpoints nerf.train.run_folder nerf.train.run_file nerf.train.config_types nerf.train.legs'
        ' nerf.train.training_time nerf.train.events nerf.train.checks',
        f'{CORE} host configs data',
        'jax flax numpy ml_collections tensorboard',
    ),
    'capture': Row('nerf.data.capture nerf.data.capture.*', f'{GROUND} host data', 'numpy imageio PIL pillow_heif pycolmap'),
    'inspect': Row('nerf.data.inspect nerf.data.inspect.*', f'{GROUND} data', 'jax numpy matplotlib'),
    'pictures': Row(
        'nerf.render.*',
        f'{CORE} host',
        'jax flax numpy imageio imageio_ffmpeg PIL matplotlib jaxtyping',
    ),
    # 4. with TensorFlow and CLU
    'stored': Row(
        'nerf.data.feed.scenes nerf.data.feed.tfds_cache nerf.data.feed.pipeline nerf.data.feed.quiet_tensorflow'
        ' nerf.train.saving nerf.train.loop nerf.train.board nerf.train.divergence nerf.train.reports',
        BESIDE,
    ),
    # 5. tools
    'tools': Row(
        'nerf.debug_ray nerf.paths nerf.paths.* nerf.export nerf.export.* nerf.tasks nerf.tasks.* nerf.viewer nerf.viewer.*'
        ' nerf.tables nerf.tables.*',
        f'{WITH_TENSORFLOW} inspect',
    ),
    'benchmark': Row(
        'nerf.benchmark nerf.benchmark.*',
        f'{CORE} host configs data pictures',
        'jax flax optax numpy absl ml_collections',
    ),
    'lessons': Row(
        'nerf.lessons nerf.lessons.*',
        f'{CORE} host configs data pictures',
        'jax flax numpy matplotlib jaxtyping IPython ipywidgets',
    ),
    # 6. commands
    'commands': Row('nerf.run main render', f'{WITH_TENSORFLOW} inspect tools'),
    # The package itself: nothing when imported, `nerf.load` when called.
    'package': Row('nerf', 'runs'),
}
WITHOUT_TENSORFLOW = [*BESIDE.split(), 'capture', 'inspect', 'benchmark', 'lessons']
HEAVY = ('tensorflow', 'tensorflow_datasets', 'clu')
# The lift, and the code written for batches by hand that the benchmark measures it against.
MAY_SAY_VMAP = ('nerf.lifting', 'nerf.flat', 'nerf.benchmark.hand_batched')


def files():
    found = [*ROOT.glob('nerf/**/*.py'), *ROOT.glob('configs/**/*.py'), ROOT / 'main.py', ROOT / 'render.py']
    return {module_name(path): path for path in found if path.exists()}


def module_name(path):
    parts = path.relative_to(ROOT).with_suffix('').parts
    return '.'.join(parts[:-1] if parts[-1] == '__init__' else parts)


FILES = files()


def row_of(module):
    # A name stands in its row; a pattern holds what no row names.
    rows = [name for name, row in ROWS.items() if module in row.modules.split()]
    rows = rows or [name for name, row in ROWS.items() if any(fnmatch(module, pattern) for pattern in row.modules.split())]
    assert rows, f'{FILES[module].relative_to(ROOT)} is in no row of tests/test_layering.py: add it to its row'
    assert len(rows) == 1, f'{module} is in several rows of tests/test_layering.py: {rows}'
    return rows[0]


def imports(tree, module, path):
    """Full names of all that a file imports, anywhere in it, with lines; relative imports resolved."""
    package = module if path.name == '__init__.py' else module.rpartition('.')[0]
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from ((alias.name, node.lineno) for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            origin = '.'.join(package.split('.')[: len(package.split('.')) - node.level + 1]) if node.level else ''
            origin = '.'.join(filter(None, [origin, node.module]))
            for alias in node.names:
                inner = f'{origin}.{alias.name}'
                yield (inner if inner in FILES else origin), node.lineno


def parsed(module):
    return ast.parse(FILES[module].read_text())


def arrows(module):
    return list(imports(parsed(module), module, FILES[module]))


def is_ours(name):
    return name.split('.')[0] in ('nerf', 'configs', 'main', 'render')


@pytest.mark.parametrize('module', FILES)
def test_every_file_has_a_row_and_imports_only_from_below(module):
    row = row_of(module)
    allowed = [row, *ROWS[row].below.split()]
    for name, line in arrows(module):
        if is_ours(name):
            assert name in FILES, f'{module}:{line} imports {name}, which does not exist'
            above = row_of(name)
            assert above in allowed, f'{module}:{line} imports {name}: {row} must not know {above}'


@pytest.mark.parametrize('module', FILES)
def test_rows_that_need_few_packages_import_no_others(module):
    row = row_of(module)
    for name, line in arrows(module):
        package = name.split('.')[0]
        if row in WITHOUT_TENSORFLOW:
            assert package not in HEAVY, f'{module}:{line} imports {name}: {row} must run without TensorFlow and CLU'
        if ROWS[row].packages is not None and not is_ours(name) and package not in sys.stdlib_module_names:
            assert package in ROWS[row].packages.split(), (
                f'{module}:{line} imports {name}: {row} needs only {ROWS[row].packages}'
            )


def test_nothing_imports_in_a_circle():
    graph = {module: {name for name, _ in arrows(module) if name in FILES} - {module} for module in FILES}
    done, path = set(), []

    def visit(module):
        assert module not in path, f'imports in a circle: {" -> ".join([*path[path.index(module) :], module])}'
        if module not in done:
            path.append(module)
            for name in graph[module]:
                visit(name)
            done.add(path.pop())

    for module in graph:
        visit(module)


@pytest.mark.parametrize('module', ['nerf', 'nerf.ray', 'nerf.data', 'nerf.train', 'nerf.render', 'configs'])
def test_packages_import_nothing_when_imported(module):
    if module in FILES:
        assert not [node for node in parsed(module).body if isinstance(node, ast.Import | ast.ImportFrom)]


@pytest.mark.parametrize('module', [module for module in FILES if module not in MAY_SAY_VMAP])
def test_only_the_lift_says_vmap_and_pmap(module):
    for node in ast.walk(parsed(module)):
        word = ast.unparse(node) if isinstance(node, ast.Attribute | ast.Name) else ''
        lifts = word.split('.')[-1] in ('vmap', 'pmap') or word.endswith(('lax.map', 'lax.scan'))
        assert not lifts, f'{module}:{node.lineno} says {word}: only nerf/lifting.py lifts'


def test_the_lift_knows_nothing_of_radiance_fields():
    assert not [name for name, _ in arrows('nerf.lifting') if is_ours(name)]


def test_an_arrow_that_points_up_is_seen(monkeypatch, tmp_path):
    def found(module, source):
        path = tmp_path / f'{module}.py'
        path.write_text(source)
        monkeypatch.setitem(FILES, module, path)
        return arrows(module)

    assert found('nerf.ray.new', 'def f():\n    from nerf import lifting, errors') == [('nerf.lifting', 2), ('nerf.errors', 2)]
    assert found('nerf.ray.new', 'from ..lifting import over_rays') == [('nerf.lifting', 1)]
    assert found('nerf.ray.new', 'from . import maths\nimport nerf.models.nerf as m') == [
        ('nerf.ray.maths', 1),
        ('nerf.models.nerf', 2),
    ]
    found('nerf.ray.new', 'import nerf.lifting')
    with pytest.raises(AssertionError, match='maths must not know ground'):
        test_every_file_has_a_row_and_imports_only_from_below('nerf.ray.new')
    found('nerf.ray.new', 'import tensorflow as tf')
    with pytest.raises(AssertionError, match='must run without TensorFlow'):
        test_rows_that_need_few_packages_import_no_others('nerf.ray.new')
    monkeypatch.setattr(sys.modules[__name__], 'ROOT', tmp_path)
    found('nerf.something', '')
    with pytest.raises(AssertionError, match='add it to its row'):
        row_of('nerf.something')


ONE_STEP = """
import importlib, sys
HEAVY = ('tensorflow', 'tensorflow_datasets', 'clu')
for name in HEAVY:
    sys.modules[name] = None
for name in sys.argv[1:]:
    importlib.import_module(name)
import jax, jax.numpy as jnp
from nerf.lifting import over_rays
from nerf.models import make_model
from nerf.ray.compositing import composite
from nerf.ray.structs import Ray

model = make_model('mipnerf', dict(num_samples=3, depth=1, width=4, view_width=2, position_degree=2, view_degree=1))
direction = jnp.array([[0.0, 0.0, -1.0], [0.1, 0.0, -1.0]])
number = lambda value: jnp.full(2, value)
rays = Ray(jnp.zeros((2, 3)), direction, direction, number(0.01), number(2.0), number(6.0))
params = jax.jit(model.init)(jax.random.key(0), jax.tree.map(lambda leaf: leaf[0], rays))

def loss(params):
    def one(ray, key):
        return jnp.mean(composite(model.apply(params, ray, key)[-1], ray, jnp.ones(3)).rgb)
    return jnp.mean(over_rays(one)(rays, jax.random.split(jax.random.key(1), 2)))

value, gradient = jax.jit(jax.value_and_grad(loss))(params)
assert 0 < value < 1.01 and all(jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(gradient))
assert any(jnp.abs(leaf).max() > 0 for leaf in jax.tree.leaves(gradient))
assert not [name for name, module in sys.modules.items() if name.split('.')[0] in HEAVY and module]
print('learned')
"""


def test_all_but_training_runs_where_tensorflow_and_clu_are_not_installed():
    # What needs them later imports them then: `nerf.run` also renders.
    light = [*WITHOUT_TENSORFLOW, 'tools']
    modules = ['nerf', 'nerf.run', 'nerf.data.feed.scenes', *(module for module in FILES if row_of(module) in light)]
    command = [sys.executable, '-c', ONE_STEP, *modules]
    environment = {**os.environ, 'JAX_PLATFORMS': 'cpu'}
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False, timeout=120)
    assert done.returncode == 0, done.stderr
    assert done.stdout == 'learned\n'
