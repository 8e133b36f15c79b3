import re

import jax
import jax.numpy as jnp
import pytest

from nerf.errors import UserError
from nerf.models import MODELS, contract
from nerf.models.contract import broken_promises
from nerf.models.mipnerf import MipNeRF
from nerf.models.nerf import NeRF

SMALL_MLP = {'depth': 1, 'width': 8, 'view_width': 4, 'position_degree': 2, 'view_degree': 1}
SMALL = {
    'nerf': {**SMALL_MLP, 'num_coarse': 6, 'num_fine': 6, 'density_activation': 'softplus'},
    'mipnerf': {**SMALL_MLP, 'num_samples': 6},
    'mipnerf360': {**SMALL_MLP, 'num_proposal': 6, 'num_samples': 4, 'proposal_width': 8, 'bottleneck': 4},
    'instant': {'num_proposal': 6, 'num_samples': 4, 'num_levels': 2, 'finest': 20, 'log2_rows': 8, 'width': 4},
}


@pytest.mark.parametrize('name', MODELS)
def test_every_model_keeps_the_protocol(name):
    assert broken_promises(MODELS[name], **SMALL.get(name, {})) == []


class NoLevels(MipNeRF):
    LEVELS = ()


class OtherArguments(MipNeRF):
    def __call__(self, ray, key=None, progress=1.0):
        return super().__call__(ray, key, progress)


class UndeclaredLevel(MipNeRF):
    def __call__(self, ray, key=None, progress=1.0, photo=None):
        return super().__call__(ray, key, progress)[-1:]


class OneTooFew(MipNeRF):
    def __call__(self, ray, key=None, progress=1.0, photo=None):
        return [level.replace(t=level.t[1:]) for level in super().__call__(ray, key, progress)]


class TooHeavy(MipNeRF):
    def __call__(self, ray, key=None, progress=1.0, photo=None):
        return [level.replace(weights=3 * level.weights) for level in super().__call__(ray, key, progress)]


class TakenName(MipNeRF):
    def __call__(self, ray, key=None, progress=1.0, photo=None):
        return [level.replace(extras={'depth': level.density}) for level in super().__call__(ray, key, progress)]


class Careless(MipNeRF):
    """Breaks the promises that are only found by calling it: each in its own sentence."""

    def setup(self):
        super().setup()
        self.count = self.variable('state', 'count', lambda: jnp.zeros(()))

    def __call__(self, ray, key=None, progress=1.0, photo=None):
        ray = ray if ray.origin.ndim == 1 else jax.tree.map(lambda leaf: leaf[0], ray)
        levels = super().__call__(ray, key, progress)
        return levels if photo is None else [level.replace(rgb=0 * level.rgb) for level in levels]

    def density(self, point, width):
        return -1 - super().density(point, width)


class OtherCount(NeRF):
    LEVELS = tuple(level.__class__(level.name, 'depth') for level in NeRF.LEVELS)


@pytest.mark.parametrize(
    ('broken', 'sentence'),
    [
        (dict, 'is no Linen module'),
        (NoLevels, 'LEVELS is missing'),
        (OtherArguments, r'__call__ takes \(ray, key, progress\): expected \(ray, key, progress, photo\)'),
        (UndeclaredLevel, 'returned 1 levels: LEVELS declares 2'),
        (OneTooFew, r'level (coarse|fine): t \(6,\) found, expected s and t \[n\+1\]'),
        (TooHeavy, 'weights sum to'),
        (TakenName, r"extras\['depth'\]: the name is taken"),
    ],
)
def test_a_broken_promise_is_one_sentence(broken, sentence):
    fields = {} if broken is dict else SMALL['mipnerf']
    found = broken_promises(broken, **fields)
    assert found
    assert all(re.search(sentence, each) for each in found), found


def test_each_promise_that_is_broken_is_named():
    found = broken_promises(Careless, **SMALL['mipnerf'])
    expected = (
        'a photo without numbers changes the result',
        'a batch of rays is accepted',
        'expected one number, finite and not negative',
        'a model with a collection state has it',
    )
    assert len(found) == 4
    for sentence, part in zip(found, expected, strict=True):
        assert part in sentence


def test_a_wrong_count_is_found():
    assert any('LEVELS names another field' in each for each in broken_promises(OtherCount, **SMALL['nerf']))


def test_a_class_is_imported_by_its_address(tmp_path, monkeypatch, capsys):
    (tmp_path / 'my_module.py').write_text('from nerf.models.mipnerf import MipNeRF as MyModel\n')
    monkeypatch.chdir(tmp_path)
    assert contract.class_of('my_module:MyModel') is MipNeRF
    with pytest.raises(UserError, match='expected module:Class'):
        contract.class_of('my_module:Other')
    assert contract.main([]) == 2
    assert contract.main(['no_module:X']) == 2
    assert 'no_module' in capsys.readouterr().err
    monkeypatch.setattr(contract, 'broken_promises', lambda model: ['too large'])
    assert contract.main(['my_module:MyModel']) == 1
    assert capsys.readouterr().out == 'my_module:MyModel: too large\n'
