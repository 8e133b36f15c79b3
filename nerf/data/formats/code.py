"""The source files that a module's result depends on: its own, and those of this package that it imports, and so on."""

import ast
import importlib.util
from collections.abc import Iterable
from pathlib import Path

PACKAGE = 'nerf'


def source_files(modules: Iterable[str]) -> list[Path]:
    """List the files of these modules and of all modules of the package that they import, directly or not, sorted."""
    files, left = {}, list(modules)
    while left:
        module = left.pop()
        spec = importlib.util.find_spec(module)
        if module in files or spec is None or spec.origin is None:
            continue
        files[module] = Path(spec.origin)
        left += _imports(ast.parse(files[module].read_text()))
    return sorted(files.values())


def _imports(tree: ast.Module) -> list[str]:
    """Return the modules of the package that a file imports; `from nerf.data import images` imports `nerf.data.images`."""
    names = []
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            names += [alias.name for alias in node.names]
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            inner = [f'{node.module}.{alias.name}' for alias in node.names]
            found = [name for name in inner if name.startswith(f'{PACKAGE}.') and _is_module(name)]
            names += found or [node.module]
    return [name for name in names if name.split('.')[0] == PACKAGE]


def _is_module(name: str) -> bool:
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:  # its parent is no package
        return False
