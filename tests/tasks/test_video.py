import types

import imageio.v3 as imageio
import jax
import numpy as np
import pytest

from nerf.data import procedural
from nerf.errors import UserError
from nerf.models import make_model
from nerf.paths import PathOptions
from nerf.render import outputs
from nerf.tasks import job, video
from nerf.tasks.job import TaskOptions

FRAMES = 5
SMALL = {'num_samples': 4, 'depth': 1, 'width': 4, 'view_width': 2}


@pytest.fixture(scope='module')
def scene():
    return procedural.load(16)


class KnownJob(job.Job):
    """A job whose pictures are known and counted: brighter, and farther, from frame to frame."""

    def __init__(self, scene, folder, **options):
        config = types.SimpleNamespace(
            scene_type='object',
            skip_empty=True,
            data=types.SimpleNamespace(background='white'),
            video=types.SimpleNamespace(fps=10, num_frames=FRAMES),
        )
        trained = types.SimpleNamespace(step=7, config=config, model=make_model('mipnerf', SMALL))
        super().__init__(trained, None, None, None, None, scene, folder, '', True, None, TaskOptions(**options))
        self.rendered, self.dies_after = 0, None

    __setattr__ = object.__setattr__

    def render(self, camera, with_normals=False):
        if self.rendered == self.dies_after:
            raise KeyboardInterrupt
        self.rendered += 1
        x = float(camera.camera_to_world[:2, 3] @ [0.8, 0.4])
        size = (int(camera.height), int(camera.width))
        ramp = np.linspace(2, 4, size[1])[None].repeat(size[0], 0) + x / 10
        picture = {'rgb': np.full((*size, 3), (x + 4) / 8), 'acc': np.ones(size)}
        picture |= {'depth': ramp, 'distance': ramp, 'distance_median': ramp}
        if with_normals:
            picture['normal'] = np.broadcast_to(camera.camera_to_world[:, 2], (*size, 3))
        return picture


def contents(folder):
    return {path.name: path.read_bytes() for path in sorted((folder / 'video/spherical_step_7/frames').iterdir())}


def test_what_was_asked_for_is_made_in_the_size_of_the_images(scene, tmp_path):
    made = KnownJob(scene, tmp_path, show=('rgb', 'depth+normals_camera'), endings=('mp4', 'gif'))
    video.render_video(made)
    folder = tmp_path / 'video/spherical_step_7'
    assert sorted(path.name for path in folder.glob('*.*')) == [
        'depth+normals_camera.gif',
        'depth+normals_camera.mp4',
        'rgb.gif',
        'rgb.mp4',
        'settings.json',
    ]
    for ending in ('mp4', 'gif'):
        assert imageio.imread(folder / f'rgb.{ending}').shape[:3] == (FRAMES, 16, 16)
        assert imageio.imread(folder / f'depth+normals_camera.{ending}').shape[:3] == (FRAMES, 16, 32)
    # A surface that faces the camera has the normal (0, 0, 1) in its axes, whichever way it stands.
    faces = imageio.imread(folder / 'depth+normals_camera.gif')[:, 4:12, 20:28, :3].reshape(-1, 3)
    np.testing.assert_allclose(faces, np.broadcast_to([127.5, 127.5, 255], faces.shape), atol=12)


def test_a_stopped_video_goes_on_and_ends_with_the_same_frames(scene, tmp_path):
    whole = KnownJob(scene, tmp_path / 'whole')
    video.render_video(whole)
    assert whole.rendered == FRAMES
    first = KnownJob(scene, tmp_path / 'parts')
    first.dies_after = 3
    with pytest.raises(KeyboardInterrupt):
        video.render_video(first)
    assert not list((tmp_path / 'parts').rglob('*.mp4'))
    second = KnownJob(scene, tmp_path / 'parts')
    video.render_video(second)
    assert second.rendered == FRAMES - 3
    assert contents(tmp_path / 'parts') == contents(tmp_path / 'whole')
    other = KnownJob(scene, tmp_path / 'parts', path_options=PathOptions(elevation=10.0))
    video.render_video(other)
    assert other.rendered == FRAMES


def test_one_range_of_depths_for_the_whole_video(scene, tmp_path):
    video.render_video(KnownJob(scene, tmp_path))
    files = sorted((tmp_path / 'video/spherical_step_7/frames').iterdir())
    low, high = video.video_range(files, 'depth')
    depths = np.stack([video.read_frame(file)['depth'] for file in files])
    np.testing.assert_allclose((low, high), np.percentile(depths, [1, 99]), rtol=1e-6)
    # The same depth has the same colour in all frames.
    pictures = list(video.frames_as('depth', files, jax.tree.map(lambda field: field[:FRAMES], scene.cameras)))
    nearest = np.stack(
        [picture.sum(-1)[8, np.argmin(np.abs(depth[8] - 3))] for picture, depth in zip(pictures, depths, strict=True)]
    )
    assert np.ptp(nearest) < 60


def test_transparent_pictures_are_pngs_whose_colours_are_whole(scene, tmp_path):
    class Red(KnownJob):
        """Dark red, half transparent on the left and nothing on the right, whatever lies behind."""

        def render(self, camera, with_normals=False):
            picture = super().render(camera, with_normals)
            acc = np.zeros(picture['acc'].shape, np.float32)
            acc[:, :8] = 0.5
            return picture | {'acc': acc, 'rgba': np.stack([0.6 * acc, 0 * acc, 0 * acc, acc], axis=-1)}

    video.render_video(Red(scene, tmp_path, show=('rgba', 'rgb'), endings=('gif',)))
    folder = tmp_path / 'video/spherical_step_7'
    assert sorted(path.name for path in folder.glob('*.*')) == ['rgb.gif', 'settings.json']
    assert sorted(path.name for path in (folder / 'rgba').iterdir()) == [f'{i:04d}.png' for i in range(FRAMES)]
    picture = imageio.imread(folder / 'rgba/0003.png')
    assert picture[4, 2].tolist() == [153, 0, 0, 128]
    assert picture[4, 12].tolist() == [0, 0, 0, 0]


def test_the_preview_renders_nothing(scene, tmp_path):
    made = KnownJob(scene, tmp_path, preview=True)
    video.render_video(made)
    assert made.rendered == 0
    assert imageio.imread(tmp_path / 'video/spherical_step_7/path.png').shape[2] == 3


@pytest.mark.parametrize(
    ('options', 'message'),
    [
        ({'show': ('rgb', 'deth')}, "unknown --show 'deth': expected one of acc, depth"),
        ({'endings': ('avi',)}, "unknown --video 'avi': expected one of gif, mp4"),
        ({'show': ()}, '--show and --video name what to make'),
        ({'show': ('rgb', 'rgba+depth')}, r'--show=rgba\+depth: rgba has transparency and stands alone, as in --show=rgba,rgb'),
        ({'path': 'elipse'}, "unknown path 'elipse': expected one of ellipse"),
    ],
)
def test_what_cannot_be_made_is_refused_before_anything_is_rendered(scene, tmp_path, options, message):
    made = KnownJob(scene, tmp_path, **options)
    with pytest.raises(UserError, match=message):
        video.check_video(made.trained.config, made.trained.model, made.options)
    assert made.rendered == 0
    assert not list(tmp_path.iterdir())


def test_every_kind_of_picture_is_a_picture(scene, tmp_path):
    made = KnownJob(scene, tmp_path)
    camera = scene.camera(0)
    frame = made.render(camera, with_normals=True)
    frame['rgba'] = np.concatenate([frame['rgb'], frame['acc'][..., None]], axis=-1)
    for name, output in outputs.OUTPUTS.items():
        picture = outputs.show(name, frame, camera, (2.0, 5.0) if output.is_ranged else None)
        assert picture.shape == (16, 16, 4 if output.has_alpha else 3), name
        assert picture.dtype == np.uint8, name


def test_what_is_shown_besides_adds_to_the_frames_and_deletes_nothing(scene, tmp_path):
    video.render_video(KnownJob(scene, tmp_path, endings=('gif',)))
    before = {path.name: path.read_bytes() for path in (tmp_path / 'video/spherical_step_7').glob('*.gif')}
    made = KnownJob(scene, tmp_path, show=('normals',), endings=('gif',))
    video.render_video(made)
    assert made.rendered == FRAMES
    made = KnownJob(scene, tmp_path, show=('rgb', 'normals', 'depth'), endings=('gif',))
    video.render_video(made)
    assert made.rendered == 0
    after = {path.name: path.read_bytes() for path in (tmp_path / 'video/spherical_step_7').glob('*.gif')}
    assert sorted(after) == ['depth.gif', 'normals.gif', 'rgb.gif']
    assert {name: after[name] for name in before} == before


def test_damaged_frames_are_made_again(scene, tmp_path):
    video.render_video(KnownJob(scene, tmp_path, endings=('gif',)))
    frames = tmp_path / 'video/spherical_step_7/frames'
    content = (frames / '0000.npz').read_bytes()
    middle = len(content) // 2
    flipped = content[:middle] + bytes([content[middle] ^ 1]) + content[middle + 1 :]
    for i, damaged in enumerate((b'', b'PK', content[:middle], flipped)):
        (frames / f'{i:04d}.npz').write_bytes(damaged)
    (frames / '0004.npz').rename(tmp_path / 'elsewhere')
    (frames / '0004.npz').symlink_to(tmp_path / 'elsewhere')
    made = KnownJob(scene, tmp_path, endings=('gif',))
    video.render_video(made)
    assert made.rendered == FRAMES
    assert (frames / '0000.npz').read_bytes() == content
    assert not (frames / '0004.npz').is_symlink()


def test_a_frame_that_is_rendered_again_keeps_the_maps_it_had(tmp_path):
    """Else two videos that show different maps would take turns in making each other's frames anew."""
    size = (2, 3)
    frame = {'rgb': np.full((*size, 3), 0.5), 'acc': np.ones(size), 'depth': np.full(size, 2.0)}
    video.write_frame(tmp_path / '0000.npz', {**frame, 'normal': np.full((*size, 3), 0.25)})
    video.write_frame(tmp_path / '0000.npz', {**frame, 'depth': np.full(size, 3.0)})
    kept = video.read_frame(tmp_path / '0000.npz')
    assert (kept['normal'] == 0.25).all()
    assert (kept['depth'] == 3.0).all()
