import types

import numpy as np
import pytest

from nerf.data import procedural
from nerf.errors import UserError
from nerf.tasks import geometry


@pytest.fixture(scope='module')
def known():
    """A view of the built-in scene, and what is known about it."""
    camera = procedural.load(48).camera(0)
    return camera, procedural.ground_truth(camera)


def test_the_truth_has_no_errors_and_others_have_theirs(known):
    camera, truth = known
    exact = geometry.geometry_errors(camera, {'distance_median': truth.distance, 'normal': truth.normal})
    assert exact['depth'].max() == 0
    assert exact['normal'].max() < 0.1
    turned = truth.normal[..., [1, 2, 0]]
    wrong = geometry.geometry_errors(camera, {'distance_median': 1.02 * truth.distance, 'normal': turned})
    np.testing.assert_allclose(wrong['depth'], 0.02, rtol=1e-3)
    cosine = (turned * truth.normal).sum(-1)
    assert set(np.round(wrong['normal'], 2)) <= set(np.round(np.degrees(np.arccos(np.clip(cosine, -1, 1)))[truth.alpha > 0], 2))


def test_pixels_near_a_silhouette_do_not_count(known):
    camera, truth = known
    near = geometry.widened(geometry.silhouette(truth), 2)
    assert 0.2 < (near & (truth.alpha > 0)).sum() / (truth.alpha > 0).sum() < 0.9
    # Whatever is wrong there, no error comes of it.
    spoiled = np.where(near, 77.0, truth.distance)
    assert geometry.geometry_errors(camera, {'distance_median': spoiled, 'normal': truth.normal})['depth'].max() == 0
    edge = (truth.alpha > 0) & (np.roll(truth.alpha, 1, axis=1) == 0)
    assert near[edge].all()


def test_a_mask_widens_by_so_many_pixels():
    mask = np.zeros((7, 9), bool)
    mask[3, 4] = True
    wide = geometry.widened(mask, 2)
    assert wide.sum() == 25
    assert wide[1:6, 2:7].all()


def test_only_the_built_in_scene_is_known():
    job = types.SimpleNamespace(trained=types.SimpleNamespace(run=types.SimpleNamespace(data_dir='somewhere')))
    with pytest.raises(UserError, match='only the built-in scene is known exactly'):
        geometry.measure_geometry(job)
