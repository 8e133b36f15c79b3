import os
import struct
import tracemalloc
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageOps

from nerf.data import image_kinds, images
from nerf.data.options import DataOptions
from nerf.errors import UserError


def random_rgba(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 4), dtype=np.uint8)


def brute_force_average(channel, height, width):
    """Mean over the area of each new pixel, by counting each old pixel as often as it divides into both grids."""
    fine = np.repeat(np.repeat(channel.astype(np.float64), height, 0), width, 1)
    h, w = channel.shape
    return fine.reshape(height, h, width, w).mean((1, 3))


def test_read_image_is_straight_rgba_and_opaque_without_alpha(tmp_path):
    rgba = random_rgba(3, 5)
    Image.fromarray(rgba).save(tmp_path / 'a.png')
    Image.fromarray(rgba[..., :3]).save(tmp_path / 'b.png')
    np.testing.assert_array_equal(images.read_image(str(tmp_path / 'a.png')), rgba)
    read = images.read_image(str(tmp_path / 'b.png'))
    np.testing.assert_array_equal(read[..., :3], rgba[..., :3])
    assert (read[..., 3] == 255).all()


@pytest.mark.parametrize('mode', ['L', 'LA', 'P', '1'])
def test_other_modes_are_converted_with_one_line_for_the_folder(tmp_path, caplog, mode):
    rgb = Image.fromarray(random_rgba(4, 4)).convert(mode)
    for name in ('a.png', 'b.png'):
        rgb.save(tmp_path / name)
    with caplog.at_level('INFO', 'nerf'):
        read = [images.read_image(str(tmp_path / name)) for name in ('a.png', 'b.png')]
    np.testing.assert_array_equal(read[1], np.array(rgb.convert('RGBA')))
    assert [mode in record.getMessage() and str(tmp_path) in record.getMessage() for record in caplog.records] == [True]


def png_of_16_bits(path, channels):
    """A valid 2 x 1 PNG, written by hand: Pillow writes 16 bits only in grey."""

    def chunk(kind, body):
        return struct.pack('>I', len(body)) + kind + body + struct.pack('>I', zlib.crc32(kind + body))

    head = struct.pack('>IIBBBBB', 2, 1, 16, {1: 0, 3: 2, 4: 6}[channels], 0, 0, 0)
    row = b'\0' + b'\x12\x34' * 2 * channels
    path.write_bytes(images.PNG_SIGNATURE + chunk(b'IHDR', head) + chunk(b'IDAT', zlib.compress(row)) + chunk(b'IEND', b''))


@pytest.mark.parametrize('channels', [1, 3, 4])
def test_16_bit_png_is_refused(tmp_path, channels):
    png_of_16_bits(tmp_path / 'deep.png', channels)
    with pytest.raises(UserError, match=r'deep\.png: found 16 bits'):
        images.read_image(str(tmp_path / 'deep.png'))


def test_deep_tiff_is_refused(tmp_path):
    Image.fromarray(np.ones((2, 2), np.uint16)).save(tmp_path / 'deep.tiff')
    with pytest.raises(UserError, match=r'deep\.tiff: found mode I;16'):
        images.read_image(str(tmp_path / 'deep.tiff'))


def test_png_that_says_more_pixels_than_it_can_hold_is_refused(tmp_path):
    path = tmp_path / 'tall.png'
    Image.fromarray(random_rgba(4, 4)).save(path)
    data = bytearray(path.read_bytes())
    struct.pack_into('>I', data, 20, 1_000_000)
    struct.pack_into('>I', data, 29, zlib.crc32(data[12:29]))
    path.write_bytes(data)
    with pytest.raises(UserError, match=r'tall\.png: says 4 x 1000000 px, but holds no more than'):
        images.read_image(str(path))
    for mode in ('1', 'L', 'RGBA'):  # what is of one colour is as small as can be
        Image.new(mode, (4000, 4000)).save(path)
        assert images.read_image(str(path)).shape == (4000, 4000, 4)


@pytest.mark.parametrize('kind', ['EPS', 'PDF', 'PCX', 'TGA'])
def test_other_kinds_of_file_are_refused_whatever_their_ending(tmp_path, kind):
    """For EPS, Pillow would start a program that draws what the file says; any bytes may be a TGA, but of that ending."""
    Image.fromarray(random_rgba(4, 4)[..., :3]).save(tmp_path / 'photo.png', kind)
    for read in (images.read_image, images.size_of):
        with pytest.raises(UserError, match=r'photo\.png: cannot be read as an image \(cannot identify'):
            read(str(tmp_path / 'photo.png'))


def test_truncated_empty_and_missing_files_are_named(tmp_path):
    Image.fromarray(random_rgba(40, 40)).save(tmp_path / 'whole.png')
    whole = (tmp_path / 'whole.png').read_bytes()
    for length in (0, 10, 30, 60, len(whole) // 2, len(whole) - 30):
        (tmp_path / 'cut.png').write_bytes(whole[:length])
        with pytest.raises(UserError, match=r'cut\.png: cannot be read'):
            images.read_image(str(tmp_path / 'cut.png'))
    os.mkfifo(tmp_path / 'pipe.png')
    for name in ('none.png', 'pipe.png'):
        for read in (images.read_image, images.size_of):
            with pytest.raises(UserError, match=rf'{name}: no such image'):
                read(str(tmp_path / name))


def test_our_own_limit_of_pixels_holds_and_not_pillows(tmp_path, monkeypatch):
    path = str(tmp_path / 'large.png')
    Image.fromarray(random_rgba(10, 20)).save(path)
    monkeypatch.setattr(Image, 'MAX_IMAGE_PIXELS', 90)  # beyond twice of which Pillow refuses
    with warnings.catch_warnings():
        warnings.simplefilter('error')
        assert images.size_of(path) == (20, 10)
        np.testing.assert_array_equal(images.read_image(path), random_rgba(10, 20))
    assert Image.MAX_IMAGE_PIXELS == 90
    monkeypatch.setattr(image_kinds, 'MOST_PIXELS', 199)
    with pytest.raises(UserError, match=r'large\.png: 20 x 10 px are too many, expected 199 at most'):
        images.read_image(path)


def test_bands_are_one_image(tmp_path, monkeypatch):
    rgb = Image.fromarray(random_rgba(11, 6)).convert('P')
    rgb.info['transparency'] = 3
    rgb.save(tmp_path / 'a.png')
    monkeypatch.setattr(images, 'AT_A_TIME', 13)
    with Image.open(tmp_path / 'a.png') as image:
        np.testing.assert_array_equal(images.read_image(str(tmp_path / 'a.png')), np.array(image.convert('RGBA')))


@pytest.mark.parametrize('deep', [True, False])
def test_tiff_of_three_deep_channels_is_refused(tmp_path, deep):
    """A valid 2 x 1 TIFF, written by hand: Pillow writes 16 bits only in grey, but reads the upper 8 of three channels."""
    bits, size = (16, 12) if deep else (8, 6)
    tags = [(256, 3, 1, 2), (257, 3, 1, 1), (258, 3, 3, 134), (262, 3, 1, 2), (273, 4, 1, 140), (277, 3, 1, 3)]
    tags += [(278, 3, 1, 1), (279, 4, 1, size)]
    head = b'II*\0\x08\0\0\0' + struct.pack('<H', 8) + b''.join(struct.pack('<HHII', *tag) for tag in tags) + b'\0' * 4
    content = head.ljust(134, b'\0') + struct.pack('<3H', *[bits] * 3) + bytes(range(size))
    (tmp_path / 'a.tif').write_bytes(content)
    if deep:
        with pytest.raises(UserError, match=r'a\.tif: found 16 bits per channel, expected 8'):
            images.read_image(str(tmp_path / 'a.tif'))
    else:
        assert images.read_image(str(tmp_path / 'a.tif')).tolist() == [[[0, 1, 2, 255], [3, 4, 5, 255]]]


@pytest.mark.parametrize('orientation', range(1, 9))
def test_turned_by_exif_as_pillow_does(tmp_path, orientation, caplog):
    exif = Image.Exif()
    exif[0x0112] = orientation
    for name in ('a.png', 'b.png'):
        Image.fromarray(random_rgba(4, 6)).save(tmp_path / name, exif=exif)
    path = str(tmp_path / 'a.png')
    assert images.size_of(path) == (6, 4)
    assert images.is_on_its_side(path) == (orientation >= 5)
    with Image.open(path) as image:
        expected = np.array(ImageOps.exif_transpose(image))
    for name in ('a.png', 'b.png'):
        np.testing.assert_array_equal(images.read_image(str(tmp_path / name), is_turned=True), expected)
    assert [record.getMessage() for record in caplog.records] == [
        f'{tmp_path}: images are turned by their EXIF orientation, as only so they fit their cameras'
    ]
    (tmp_path / 'cut.png').write_bytes((tmp_path / 'a.png').read_bytes()[:40])
    assert not images.is_on_its_side(str(tmp_path / 'cut.png'))


def test_premultiply_rounds_all_pairs():
    colour, alpha = np.meshgrid(np.arange(256), np.arange(256))
    straight = np.stack([colour, colour, 255 - colour, alpha], -1).astype(np.uint8)
    result = images.premultiply(straight)
    np.testing.assert_array_equal(result[..., 0], np.round(colour * alpha / 255))
    np.testing.assert_array_equal(result[..., 2], np.round((255 - colour) * alpha / 255))
    np.testing.assert_array_equal(result[..., 3], alpha)
    assert result.dtype == np.uint8


@pytest.mark.parametrize(('shape', 'width', 'height'), [((8, 12), 6, 4), ((7, 9), 4, 3), ((5, 11), 7, 3), ((6, 6), 6, 6)])
def test_shrink_is_the_area_average_of_light(shape, width, height):
    straight = random_rgba(*shape)
    light = straight.astype(np.float64)
    light[..., :3] *= light[..., 3:] / 255
    expected = np.stack([brute_force_average(light[..., i], height, width) for i in range(4)], -1)
    result = images.shrink(straight, width)
    assert result.shape == (height, width, 4)
    assert np.abs(result - expected).max() <= 0.5 + 1e-9
    assert (result[..., :3] <= result[..., 3:]).all()


@pytest.mark.parametrize('band', [1, 3, 7])
def test_the_rows_that_are_averaged_at_a_time_change_no_bit(band, monkeypatch):
    for shape, width in (((97, 61), 23), ((64, 40), 10), ((31, 50), 49)):
        straight = random_rgba(*shape)
        monkeypatch.setattr(images, 'BAND', 1000)
        whole = images.shrink(straight, width), images.shrink_paper(straight, width)
        monkeypatch.setattr(images, 'BAND', band)
        np.testing.assert_array_equal(images.shrink(straight, width), whole[0])
        np.testing.assert_array_equal(images.shrink_paper(straight, width), whole[1])


def test_a_large_image_is_averaged_in_little_memory():
    straight = np.full((2000, 500, 4), 200, np.uint8)
    tracemalloc.start()
    images.shrink(straight, 100)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < straight.nbytes


@pytest.mark.skipif(not hasattr(os, 'mkfifo'), reason='no named pipes here')
def test_a_pipe_is_not_waited_for(tmp_path):
    os.mkfifo(tmp_path / 'a.png')
    for read in (images.read_image, images.read_grey, images.size_of):
        with pytest.raises(UserError, match=r'a\.png: no such image file'):
            read(str(tmp_path / 'a.png'))


def test_shrunk_size_is_that_of_the_image_to_come(tmp_path):
    Image.fromarray(random_rgba(7, 9)).save(tmp_path / 'a.png')
    path = str(tmp_path / 'a.png')
    for width in range(1, 10):
        image, full = images.read_shrunk(path, DataOptions(width=width))
        assert images.shrunk_size(path, full, DataOptions(width=width)) == image.shape[1::-1]
    with pytest.raises(UserError, match=r'a\.png: width 10 asked for, but the image has 9'):
        images.shrunk_size(path, (9, 7), DataOptions(width=10))


def test_shrink_ignores_colours_that_are_not_there_and_the_paper_does_not():
    straight = np.array([[[200, 100, 50, 255], [0, 0, 0, 0]]], np.uint8)
    np.testing.assert_array_equal(images.shrink(straight, 1), [[[100, 50, 25, 128]]])
    # straight mean (100, 50, 25, 127.5), cut to (100, 50, 25, 127), times 127 / 255
    np.testing.assert_array_equal(images.shrink_paper(straight, 1), [[[50, 25, 12, 127]]])
    np.testing.assert_array_equal(images.resized(straight, DataOptions(factor=2, paper_alpha=True)), [[[50, 25, 12, 127]]])
    np.testing.assert_array_equal(images.resized(straight, DataOptions(factor=2)), [[[100, 50, 25, 128]]])


def test_width_wins_over_factor_and_nothing_is_enlarged(tmp_path):
    Image.fromarray(random_rgba(8, 12)).save(tmp_path / 'a.png')
    path = str(tmp_path / 'a.png')
    image, full = images.read_shrunk(path, DataOptions(factor=4, width=6))
    assert (image.shape, full) == ((4, 6, 4), (12, 8))
    assert images.read_shrunk(path, DataOptions(factor=5))[0].shape == (1, 2, 4)
    with pytest.raises(UserError, match=r'a\.png: width 13 asked for, but the image has 12'):
        images.read_shrunk(path, DataOptions(width=13))


@pytest.mark.parametrize('field', ['factor', 'width', 'test_every'])
def test_options_below_one_are_refused(field):
    with pytest.raises(UserError, match=f'{field}: found 0'):
        DataOptions(**{field: 0})
