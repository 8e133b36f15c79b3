import sys

import numpy as np
import pytest
from PIL import Image, features

from nerf.data import image_kinds
from nerf.data.images import read_image, size_of
from nerf.errors import UserError

GREY = np.linspace(0, 255, 16 * 24).reshape(16, 24).astype(np.uint8)
WRITTEN = [kind for kind in image_kinds.KINDS if kind != 'HEIF' and (kind != 'AVIF' or features.check('avif'))]
# The start of an ISO media file of HEIF or AVIF, as a phone writes it.
HEIC = b'\0\0\0\x18ftypheic\0\0\0\0mif1heic' + b'\0' * 40
AVIF = b'\0\0\0\x1cftypmif1\0\0\0\0mif1avif' + b'\0' * 40


@pytest.mark.parametrize('kind', WRITTEN)
def test_each_kind_is_read_by_its_bytes(tmp_path, kind):
    colours = np.stack([GREY, GREY, GREY], axis=-1)
    path = str(tmp_path / f'a{image_kinds.KINDS[kind].endings[0].upper()}')
    Image.fromarray(colours).save(path, kind)
    assert size_of(path) == (24, 16)
    found = read_image(path)
    assert np.abs(found[..., :3].astype(int) - colours).max() < 24
    assert (found[..., 3] == 255).all()
    if kind != 'TGA':
        Image.fromarray(colours).save(tmp_path / 'b.jpg', kind)
        np.testing.assert_array_equal(read_image(str(tmp_path / 'b.jpg')), found)


@pytest.mark.parametrize('kind', [kind for kind in WRITTEN if image_kinds.KINDS[kind].samples])
@pytest.mark.parametrize('mode', ['L', 'RGB'])
def test_the_emptiest_image_of_each_kind_is_believed_and_more_is_not(tmp_path, monkeypatch, kind, mode):
    options = {'TGA': {'compression': 'tga_rle'}, 'TIFF': {'compression': 'tiff_adobe_deflate'}, 'JPEG': {'progressive': True}}
    path = str(tmp_path / 'a.tga')
    Image.new(mode, (1500, 1500)).save(path, kind, **options.get(kind, {}))
    assert read_image(path).shape == (1500, 1500, 4)
    monkeypatch.setattr('os.path.getsize', lambda path: 100)
    with pytest.raises(UserError, match='says 1500 x 1500 px, but holds no more than'):
        read_image(path)


@pytest.mark.parametrize(
    ('content', 'said'),
    [(HEIC, 'is a HEIF image, .*pip install pillow-heif'), (AVIF, "AVIF image, .*pip install --upgrade 'pil")],
)
def test_a_missing_decoder_is_named_whatever_the_ending(tmp_path, monkeypatch, content, said):
    monkeypatch.setitem(sys.modules, 'pillow_heif', None)
    for kind in ('HEIF', 'AVIF'):
        Image.init()
        monkeypatch.delitem(Image.OPEN, kind, raising=False)
    for name in ('a.heic', 'a.jpg'):
        (tmp_path / name).write_bytes(content)
        for read in (read_image, size_of):
            with pytest.raises(UserError, match=said):
                read(str(tmp_path / name))


def test_names_of_images():
    found = {name: image_kinds.is_image(name) for name in ('a.TIF', 'b.heic', 'c.eps', '._a.jpg', '.png', 'd.jpg.txt')}
    assert [name for name, is_one in found.items() if is_one] == ['a.TIF', 'b.heic']


def test_a_folder_without_images_tells_what_is_in_it():
    message = str(image_kinds.no_images('photos', ['a.CR2', 'b.cr2', 'c.txt', '._d.jpg', 'README', 'e.\n']))
    assert message.startswith('photos: found no images, but files that end in .cr2, .txt; expected .png, .jpg, ')
    assert str(image_kinds.no_images('photos', [])).startswith('photos: found no images; expected .png')
