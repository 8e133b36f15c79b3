import dataclasses
from pathlib import Path

import pytest

from nerf.data import formats
from nerf.data.formats import code
from nerf.data.options import DataOptions


def names(*modules):
    return {str(path).rpartition('nerf/')[2] for path in code.source_files(modules)}


def test_imports_are_followed_and_others_left_out():
    found = names('nerf.data.formats.blender')
    assert {'data/formats/blender.py', 'data/images.py', 'data/scene.py', 'ray/cameras.py', 'ray/structs.py'} <= found
    assert not {'data/formats/llff.py', 'data/procedural.py', 'models/nerf.py', 'data/formats/__init__.py'} & found
    assert 'data/built_in/still_life.py' in names('nerf.data.procedural')


@pytest.mark.parametrize(
    ('changed', 'matters'),
    [('data/images.py', True), ('data/formats/blender.py', True), ('scene_types.py', True), ('data/formats/llff.py', False)],
)
def test_a_fingerprint_follows_the_code_that_reads_the_scene(monkeypatch, changed, matters):
    # Without files of its own, so that the code alone decides.
    monkeypatch.setitem(formats.FORMATS, 'blender', dataclasses.replace(formats.FORMATS['blender'], sources=lambda *_: []))
    before = formats.fingerprint('blender', '', DataOptions())
    read = Path.read_bytes

    def edited(path):
        return read(path) + (b'#' if str(path).endswith(f'nerf/{changed}') else b'')

    monkeypatch.setattr(Path, 'read_bytes', edited)
    assert (formats.fingerprint('blender', '', DataOptions()) != before) is matters
