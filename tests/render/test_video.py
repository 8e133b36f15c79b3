import imageio.v3 as imageio
import numpy as np
import pytest

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
