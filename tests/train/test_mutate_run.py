"""A few of the mutated runs of `mutate_run`, whose command tries many, and what its checks find."""

import dataclasses
import logging

import numpy as np
import pytest
from mutate_run import (
    MODES,
    PARTS,
    expect_renders,
    expect_same,
    expect_sentence,
    listening,
    make_sandbox,
    mutate,
    stand_ins,
    try_runs,
)

from nerf.train import run_folder

COUNT = 25


@pytest.fixture(scope='module')
def sandbox(tmp_path_factory):
    return make_sandbox(tmp_path_factory.mktemp('sandbox'))


def test_mutated_runs_end_as_they_should(sandbox):
    counts, failures = try_runs(sandbox, range(COUNT))
    assert not failures, '\n'.join(failures)
    ends = {end for _, _, end in counts}
    assert {'same', 'refused', 'loaded'} <= ends


def test_a_number_says_what_is_done(sandbox):
    done = [
        mutate(sandbox, np.random.default_rng(number), mode, part) for number in (1, 1, 2) for mode in MODES for part in PARTS
    ]
    assert done[:4] == done[4:8]
    assert len(set(done)) == 8


def test_what_is_another_result_is_found(sandbox):
    mutate(sandbox, np.random.default_rng(0), 'damaged', 'renders')
    with stand_ins(sandbox):
        trained = run_folder.load(str(sandbox.whole))
    expect_same(trained, sandbox, [])
    older = dataclasses.replace(trained, step=20, params=sandbox.params[20])
    expect_same(older, sandbox, ['damaged checkpoint skipped'])
    others = (older, dataclasses.replace(trained, step=20), dataclasses.replace(trained, params=sandbox.params[20]))
    for other in others:
        with pytest.raises(AssertionError):
            expect_same(other, dataclasses.replace(sandbox, run=sandbox.whole), [])
    moved = dataclasses.replace(trained.scene, cameras=trained.scene.cameras.replace(far=trained.scene.cameras.far + 1))
    with pytest.raises(AssertionError):
        expect_same(dataclasses.replace(trained, scene=moved), sandbox, [])


def test_what_lies_outside_and_what_is_damaged_is_found(sandbox):
    before = sandbox.outside()
    (sandbox.victim / 'bashrc').write_text('theirs')
    assert sandbox.outside() != before
    (sandbox.victim / 'bashrc').write_text('mine')
    assert sandbox.outside() == before
    picture = next(iter(sandbox.whole.rglob('*.png')))
    expect_renders(dataclasses.replace(sandbox, run=sandbox.whole))
    mutate(sandbox, np.random.default_rng(0), 'damaged', 'run')
    (sandbox.run / picture.relative_to(sandbox.whole)).write_bytes(b'')
    with pytest.raises(AssertionError):
        expect_renders(sandbox)


@pytest.mark.parametrize('message', ['short', 'two\nlines, of which each is long enough', 'x' * 900])
def test_what_is_no_sentence_is_found(message):
    with pytest.raises(AssertionError):
        expect_sentence(message)


def test_warnings_are_kept():
    with listening() as said:
        logging.getLogger('nerf').warning('damaged %s', 1)
        logging.getLogger('nerf').info('not of interest')
    logging.getLogger('nerf').warning('too late')
    assert said == ['damaged 1']
