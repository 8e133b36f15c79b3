import imageio.v3 as imageio
import numpy as np
import pytest

from nerf.errors import UserError
from nerf.render import video
from nerf.render.video import write_video


@pytest.mark.parametrize('size', [(20, 34), (21, 33)])
def test_size_number_and_colours_are_kept(tmp_path, size):
    colours = [(255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)]
    frames = [np.broadcast_to(np.array(colour, np.uint8), (*size, 3)) for colour in colours]
    write_video(tmp_path / 'a.mp4', frames, fps=10)
    read = imageio.imread(tmp_path / 'a.mp4')
    assert read.shape == (4, *size, 3)
    np.testing.assert_allclose(read.mean((1, 2)), colours, atol=12)
    assert [path.name for path in tmp_path.iterdir()] == ['a.mp4']


@pytest.mark.parametrize('ending', ['mp4', 'gif'])
def test_frames_that_are_the_same_are_a_video(tmp_path, ending):
    write_video(tmp_path / f'a.{ending}', [np.full((20, 34, 3), 9, np.uint8)] * 4, fps=10)
    assert (tmp_path / f'a.{ending}').exists()


@pytest.mark.parametrize('ending', ['mp4', 'gif'])
def test_a_video_without_all_its_frames_never_gets_its_name(tmp_path, monkeypatch, ending):
    """As when the disk is full: imageio says nothing, and what lies there is cut off."""
    write = video.imageio.get_writer

    def cutting(path, **options):
        writer = write(path, **options)
        close = writer.close

        def close_and_cut():
            close()
            if path.exists():  # it is closed again when it is deleted
                path.write_bytes(path.read_bytes()[:-200])

        writer.close = close_and_cut
        return writer

    monkeypatch.setattr(video.imageio, 'get_writer', cutting)
    frames = list(np.random.default_rng(0).integers(0, 256, (8, 32, 32, 3), np.uint8))
    with pytest.raises(UserError, match='of 8 frames could be written: free some space'):
        write_video(tmp_path / f'a.{ending}', frames, fps=10)
    assert not list(tmp_path.iterdir())
