"""A few of the damaged scenes of `mutate`, whose command tries many, and what its checks find."""

import dataclasses
import logging

import numpy as np
import pytest
from mutate import FORMATS, SPLITS, Case, cases, expect_sentence, expect_untouched, expect_valid, outcome, try_format

from nerf.data import formats
from nerf.data.options import DataOptions

COUNT = 12


@pytest.fixture(autouse=True)
def quiet(caplog):
    caplog.set_level(logging.ERROR)


@pytest.mark.parametrize('format', FORMATS)
def test_damaged_scenes_are_refused_or_valid(format):
    counts, failures = try_format(format, range(COUNT))
    assert not failures, '\n'.join(failures)
    assert counts['refused'] >= 2


@pytest.fixture
def whole(tmp_path):
    """A scene that is not damaged, as a case of its own."""
    for folder in ('whole', 'scene'):
        (tmp_path / folder).mkdir()
        FORMATS['transforms'](tmp_path / folder)
    return Case('transforms', str(tmp_path / 'scene'), DataOptions(normalise=False), '', {'transforms.json'})


@pytest.mark.parametrize('format', FORMATS)
def test_scenes_that_are_not_damaged_are_valid(format, tmp_path):
    for folder in ('whole', 'scene'):
        (tmp_path / folder).mkdir()
        FORMATS[format](tmp_path / folder)
    assert outcome(Case(format, str(tmp_path / 'scene'), DataOptions(), '', {'none'})) == 'valid'


def test_a_number_says_what_is_done(tmp_path):
    runs = []
    for name in 'ab':
        (tmp_path / name).mkdir()
        runs.append([(case.done, case.options) for case in cases('colmap', range(5), tmp_path / name)])
    assert runs[0] == runs[1]
    assert len({done for done, _ in runs[0]}) == 5


@pytest.mark.parametrize(
    'message', ['short', 'FOLDER: first\nsecond line', 'what is wrong in no file at all', 'FOLDER ' + 'x' * 900]
)
def test_what_is_no_sentence_is_found(message, whole):
    expect_sentence('FOLDER/transforms.json: lacks something'.replace('FOLDER', whole.folder), whole)
    with pytest.raises(AssertionError):
        expect_sentence(message.replace('FOLDER', whole.folder), whole)


def changed(array, index, value):
    array = array.copy()
    array[index] = value
    return array


CAMERAS = {
    'mirrored': lambda cameras: {'camera_to_world': changed(cameras.camera_to_world, (0, slice(None), 0), 0.0)},
    'too far away': lambda cameras: {'camera_to_world': changed(cameras.camera_to_world, (0, 0, 3), 1e20)},
    'nan': lambda cameras: {'camera_to_world': changed(cameras.camera_to_world, (2, 1, 1), np.nan)},
    'focal': lambda cameras: {'camera_to_pixel': changed(cameras.camera_to_pixel, (1, 0, 0), -5.0)},
    'centre': lambda cameras: {'camera_to_pixel': changed(cameras.camera_to_pixel, (1, 0, 2), 1e30)},
    'near': lambda cameras: {'near': cameras.far},
    'size': lambda cameras: {'width': cameras.width + 1},
}


@pytest.mark.parametrize('change', CAMERAS)
def test_what_cannot_be_trained_on_is_found(change, whole):
    scene = formats.load_scene(None, whole.folder, '', whole.options)
    expect_valid(scene)
    with pytest.raises(AssertionError):
        expect_valid(dataclasses.replace(scene, cameras=scene.cameras.replace(**CAMERAS[change](scene.cameras))))
    with pytest.raises(AssertionError):
        expect_valid(dataclasses.replace(scene, split=(SPLITS[2],) * len(scene.names)))


def test_what_no_damaged_file_says_is_found(whole):
    scene = formats.load_scene(None, whole.folder, '', whole.options)
    expect_untouched(scene, whole)
    with pytest.raises(AssertionError, match='pixels'):
        expect_untouched(dataclasses.replace(scene, pixels=scene.pixels[::-1]), whole)
    images = dataclasses.replace(whole, names={'r_0.png'})
    expect_untouched(scene, images)
    moved = scene.cameras.replace(camera_to_world=scene.cameras.camera_to_world[::-1])
    with pytest.raises(AssertionError, match='elsewhere'):
        expect_untouched(dataclasses.replace(scene, cameras=moved), images)
