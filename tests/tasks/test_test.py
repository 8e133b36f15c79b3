import dataclasses
import json
import types

import imageio.v3 as imageio
import numpy as np
import pandas as pd
import pytest

from nerf.data.scene import make_scene, stack_cameras
from nerf.tasks import test as views

WIDTHS = (32, 16)


def scene_of(widths):
    """A training view, then two grey test views of each width."""
    sizes = np.array([(8, 8), *((width, width) for width in widths for _ in range(2))])
    images = [np.full((height, width, 4), (100, 100, 100, 255), np.uint8) for width, height in sizes]
    count = len(sizes)
    cameras = stack_cameras(np.tile(np.eye(3, 4), (count, 1, 1)), np.tile(np.eye(3), (count, 1, 1)), sizes, 1.0, 2.0)
    names = ['train_a', *(f'test_r_{i}_d{d}' for d in range(len(widths)) for i in range(2))]
    return make_scene(names, ['train', *['test'] * (count - 1)], images, cameras)


@pytest.fixture
def measured(tmp_path):
    """Metrics of predictions that are off by 1, 2, 4, ... of 255."""

    def measure(widths, used=None):
        scene = dataclasses.replace(scene_of(widths), used=used)
        test = [int(i) for i in scene.indices('test')]
        for i in test:
            picture = np.full_like(scene.image(i)[..., :3], 100 + 2 ** (i - 1))
            picture[: 0 if used is None else 5] = 0
            imageio.imwrite(tmp_path / f'{scene.stem(i)}_rgb.png', picture)
        config = types.SimpleNamespace(scene='toy', model_name='mipnerf')
        trained = types.SimpleNamespace(step=7, config=config)
        job = types.SimpleNamespace(scene=scene, background='white', trained=trained, skip_empty=True)
        views.write_metrics(job, tmp_path, test)
        return json.loads((tmp_path / 'metrics.json').read_text()), pd.read_csv(tmp_path / 'metrics.csv')

    return measure


def off_by(*errors):
    return np.mean([20 * np.log10(255 / error) for error in errors])


def test_views_of_several_sizes_are_reported_by_size(measured, caplog, monkeypatch):
    monkeypatch.setattr(views._log, 'propagate', True)
    with caplog.at_level('INFO', logger='nerf'):
        report, table = measured(WIDTHS)
    assert report['mean']['psnr'] == pytest.approx(off_by(1, 2, 4, 8))
    assert list(report['by_width']) == ['32', '16']
    assert report['by_width']['32']['psnr'] == pytest.approx(off_by(1, 2))
    assert report['by_width']['16']['psnr'] == pytest.approx(off_by(4, 8))
    assert report['by_width']['16']['ssim'] < report['by_width']['32']['ssim'] < 1
    assert table.groupby('width').psnr.mean().to_dict() == pytest.approx({32: off_by(1, 2), 16: off_by(4, 8)})
    lines = [record.getMessage() for record in caplog.records]
    said = [line for line in lines if 'px wide' in line]
    for line, (width, psnr) in zip(said, (('32', off_by(1, 2)), ('16', off_by(4, 8))), strict=True):
        ssim = report['by_width'][width]['ssim']
        assert line.startswith(f'   {width} px wide: PSNR {psnr:.2f} dB, SSIM {ssim:.3f}')


def test_views_of_one_size_are_not(measured):
    report, table = measured(WIDTHS[:1])
    assert 'by_width' not in report
    assert table.width.tolist() == [32, 32]


def test_with_masks_both_figures_are_told(measured, caplog, monkeypatch):
    monkeypatch.setattr(views._log, 'propagate', True)
    used = np.ones(64 + 2 * 32 * 32, bool)
    for i in range(2):
        used[64 + i * 32 * 32 :][: 5 * 32] = False  # the first five rows, where the predictions are black
    with caplog.at_level('INFO', logger='nerf'):
        report, table = measured(WIDTHS[:1], used)
    assert report['mean']['masked_psnr'] == pytest.approx(off_by(1, 2))
    assert report['mean']['psnr'] < 20
    assert table.masked_psnr.tolist() == pytest.approx([off_by(1), off_by(2)])
    assert report['mean']['masked_ssim'] > report['mean']['ssim'] + 0.1
    assert 'masked_psnr, masked_ssim: over the pixels that no mask takes out' in report['protocol']
    assert f'; without masked pixels PSNR {off_by(1, 2):.2f} dB, SSIM ' in caplog.text


def test_without_masks_there_is_one_figure(measured):
    report, _ = measured(WIDTHS[:1])
    assert list(report['mean']) == ['psnr', 'ssim']
    assert 'masked' not in report['protocol']


@pytest.mark.parametrize('damage', ['missing', 'empty', 'cut', 'flip'])
@pytest.mark.parametrize('ending', views.ENDINGS)
def test_a_view_is_finished_when_all_its_pictures_are_whole(tmp_path, ending, damage):
    scene = scene_of(WIDTHS)
    noise = np.random.default_rng(0).integers(0, 256, (32, 32, 3), np.uint8)
    for each in views.ENDINGS:
        imageio.imwrite(tmp_path / f'{scene.stem(1)}_{each}.png', noise)
    assert views.is_finished(tmp_path, scene, 1)
    path = tmp_path / f'{scene.stem(1)}_{ending}.png'
    content = path.read_bytes()
    path.unlink()
    if damage == 'flip':
        path.write_bytes(content[:500] + bytes([content[500] ^ 1]) + content[501:])
    elif damage != 'missing':
        path.write_bytes(content[: 0 if damage == 'empty' else -100])
    assert not views.is_finished(tmp_path, scene, 1)
