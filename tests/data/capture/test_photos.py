import os
import struct
import sys
import types
import zlib

import numpy as np
import pytest
from PIL import Image

from nerf.data.capture import __main__ as capture
from nerf.data.capture import photos as photos_module
from nerf.data.capture.images import camera_groups, copy_photos
from nerf.data.capture.photos import LeftOut, list_photos, names_of
from nerf.errors import UserError

RAMP = np.repeat(np.arange(0, 240, 10, dtype=np.uint8)[None, :, None], 12, axis=0).repeat(3, axis=2)  # [12, 24, 3]


@pytest.fixture
def source(tmp_path):
    folder = tmp_path / 'source'
    folder.mkdir()
    return folder


@pytest.fixture
def folder(tmp_path):
    made = tmp_path / 'folder'
    made.mkdir()
    return made


@pytest.fixture(autouse=True)
def no_heif(monkeypatch):
    """Pillow without HEIF, wherever the tests run."""
    monkeypatch.setitem(sys.modules, 'pillow_heif', None)


def put(path, picture=None, **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    (Image.fromarray(RAMP) if picture is None else picture).save(path, **options)


def copied(source, folder, max_size=1600):
    left_out = LeftOut()
    return copy_photos(str(source), folder, max_size, left_out), str(left_out)


def exif_of(orientation, focal):
    exif = Image.Exif()
    exif[0x0112] = orientation
    exif.get_ifd(0x8769)[0xA405] = focal
    return exif


def test_photos_are_made_upright_and_small_and_keep_their_focal_length(source, folder):
    picture = Image.fromarray(RAMP)
    picture.save(source / 'as is.jpg', exif=exif_of(1, 28))
    picture.save(source / 'turned.jpg', exif=exif_of(6, 28))  # to be turned clockwise: its left is up
    picture.resize((48, 24)).save(source / 'big.jpg', exif=exif_of(1, 28))
    picture.save(source / 'other.webp', lossless=True)
    picture.save(source / 'zoomed.jpg', exif=exif_of(1, 50))
    names, said = copied(source, folder, 24)
    assert said == ''
    assert names == ['as_is.jpg', 'big.jpg', 'other.jpg', 'turned.jpg', 'zoomed.jpg']
    assert (folder / 'as_is.jpg').read_bytes() == (source / 'as is.jpg').read_bytes()
    sizes = [Image.open(folder / name).size for name in names]
    assert sizes == [(24, 12), (24, 12), (24, 12), (12, 24), (24, 12)]
    turned = np.asarray(Image.open(folder / 'turned.jpg').convert('L'), np.float64)
    assert (np.diff(turned.mean(1)) > 0).all()
    assert Image.open(folder / 'turned.jpg').getexif().get(0x0112, 1) == 1
    assert Image.open(folder / 'big.jpg').getexif().get_ifd(0x8769)[0xA405] == 28
    groups = camera_groups(folder, names)
    assert groups == [['as_is.jpg', 'big.jpg'], ['other.jpg'], ['turned.jpg'], ['zoomed.jpg']]


KINDS = ('a.JPG', 'b.jfif', 'c.PNG', 'd.webp', 'e.tif', 'f.TIFF', 'g.bmp', 'h.jp2', 'i.ppm', 'j.tga', 'k.gif')


def test_all_kinds_of_photos_in_subfolders_become_jpeg_or_png(source, folder):
    for name in KINDS:
        put(source / 'DCIM' / '100 APPLE' / name)
    names, said = copied(source, folder)
    assert said == ''
    assert names == [f'DCIM_100_APPLE_{name[0]}.{ {"a": "JPG", "c": "PNG"}.get(name[0], "jpg") }' for name in KINDS]
    for name in names:
        found = np.asarray(Image.open(folder / name).convert('RGB'), np.float64)
        assert np.abs(found - RAMP).max() < 8, name


@pytest.mark.skipif('AVIF' not in photos_module.readable_kinds(), reason='this Pillow reads no AVIF')
def test_avif_is_read(source, folder):
    put(source / 'a.avif', quality=100)
    (name,), _ = copied(source, folder)
    assert np.abs(np.asarray(Image.open(folder / name), np.float64) - RAMP).max() < 12


def test_pixels_of_other_kinds_become_8_bits(source, folder, caplog):
    deep = (RAMP[..., 0].astype(np.uint16) << 8) + 77
    put(source / 'a.png', Image.fromarray(deep))
    put(source / 'b.tif', Image.fromarray(deep))
    put(source / 'c.jpg', Image.fromarray(RAMP).convert('CMYK'), quality=98)
    put(source / 'd.png', Image.fromarray(RAMP).quantize(64))
    put(source / 'e.pgm', Image.fromarray(deep.astype(np.int32)))
    put(source / 'f.tif', Image.fromarray(RAMP[..., 0].astype(np.float32)))
    with caplog.at_level('INFO', 'nerf'):
        names, said = copied(source, folder)
    assert names == ['a.jpg', 'b.jpg', 'c.jpg', 'd.jpg', 'e.jpg']
    assert said == 'left out: 1 .tif (32 bits per channel)'
    for name in names:
        with Image.open(folder / name) as image:
            assert image.mode == 'RGB'
            assert np.abs(np.asarray(image, np.float64) - RAMP).max() < 8, name
    told = [record.getMessage() for record in caplog.records]
    assert '5 photos with 16 bits per channel, CMYK or a palette are converted to 8 bits, RGB' in told


def test_colours_of_16_bits_are_not_copied_as_they_are(source, folder):
    """Pillow reads such a PNG, but cannot write it: one line of filter 0 and big-endian numbers for each row."""
    rows = b''.join(b'\0' + (row.astype(np.uint16) << 8).astype('>u2').tobytes() for row in RAMP)
    parts = ((b'IHDR', struct.pack('>IIBBBBB', 24, 12, 16, 2, 0, 0, 0)), (b'IDAT', zlib.compress(rows)), (b'IEND', b''))
    chunks = (struct.pack('>I', len(data)) + of + data + struct.pack('>I', zlib.crc32(of + data)) for of, data in parts)
    (source / 'a.png').write_bytes(b'\x89PNG\r\n\x1a\n' + b''.join(chunks))
    assert copied(source, folder) == (['a.jpg'], '')
    assert np.abs(np.asarray(Image.open(folder / 'a.jpg'), np.float64) - RAMP).max() < 8


def test_alpha_is_kept_and_of_many_frames_the_first(source, folder):
    alpha = np.concatenate([RAMP, np.full((12, 24, 1), 128, np.uint8)], -1)
    put(source / 'a.webp', Image.fromarray(alpha), lossless=True)
    put(source / 'b.gif', save_all=True, append_images=[Image.fromarray(255 - RAMP)])
    names, _ = copied(source, folder)
    assert names == ['a.png', 'b.jpg']
    assert (np.asarray(Image.open(folder / 'a.png'))[..., 3] == 128).all()
    assert np.abs(np.asarray(Image.open(folder / 'b.jpg'), np.float64) - RAMP).max() < 8


def test_what_is_left_out_is_said_once_by_ending_and_reason(source, folder):
    for name in (
        'a.jpg',
        'b.jpg',
        '._b.jpg',
        '.hidden/c.jpg',
        '__MACOSX/d.jpg',
        'masks/a.png',
        'images/e.jpg',
        'images_4/e.jpg',
    ):
        put(source / name)
    whole = (source / 'a.jpg').read_bytes()
    (source / 'cut.jpg').write_bytes(whole[: len(whole) // 2])
    (source / 'phone.jpg').write_bytes(b'\0\0\0\x18ftypheic' + bytes(200))
    for name in ('1.HEIC', '2.heic', '1.MOV', '2.mov', '1.dng', 'x.xmp', 'README', '.DS_Store', 'evil.a\nb'):
        (source / name).write_bytes(b'?')
    names, said = copied(source, folder)
    assert names == ['a.jpg', 'b.jpg', 'images_e.jpg']
    assert said == (
        'left out: 2 .heic (install pillow-heif to read them), 2 .mov (video), 1 without ending, 1 .a\\nb, '
        '1 .dng (raw, export JPEGs), 1 .jpg (damaged: cut.jpg), 1 .jpg (install pillow-heif to read them), '
        '1 .jpg (smaller copies), 1 .png (in masks), 1 .xmp'
    )


def test_heif_is_read_where_its_package_is_installed(source, folder, monkeypatch):
    put(source / 'a.ppm')
    (source / 'a.ppm').rename(source / 'a.HEIC')
    module = types.ModuleType('pillow_heif')

    def register():
        Image.init()
        opener = lambda file, name: Image.OPEN['PPM'][0](file, name)  # noqa: E731, a stand-in for its decoder
        monkeypatch.setitem(Image.OPEN, 'HEIF', (opener, None))
        monkeypatch.setitem(Image.EXTENSION, '.heic', 'HEIF')

    module.register_heif_opener = register
    monkeypatch.setitem(sys.modules, 'pillow_heif', module)
    (source / 'b.heic').write_bytes(b'\0\0\0\x18ftypheic' + bytes(200))
    assert copied(source, folder) == (['a.jpg'], 'left out: 1 .heic (damaged: b.heic)')


def test_no_link_is_followed_and_folders_are_bounded(source, folder, tmp_path, monkeypatch):
    put(tmp_path / 'elsewhere' / 'secret.jpg')
    put(source / 'a.jpg')
    os.symlink(tmp_path / 'elsewhere', source / 'folder')
    os.symlink(tmp_path / 'elsewhere' / 'secret.jpg', source / 'b.jpg')
    os.symlink(source, source / 'round')
    put(source.joinpath(*'12345678', 'deep.jpg'))
    put(source.joinpath(*'123456789', 'too deep.jpg'))
    names, said = copied(source, folder)
    assert names == ['1_2_3_4_5_6_7_8_deep.jpg', 'a.jpg']
    assert said == 'left out: 2 without ending (link), 1 .jpg (link)'
    monkeypatch.setattr(photos_module, 'MOST_FILES', 9)
    with pytest.raises(UserError, match='source: holds more than 9 files; give the folder of the photos alone'):
        list_photos(str(source), LeftOut())


def test_names_are_distinct_and_fit_on_every_disk():
    assert names_of(['IMG_1.heic', 'IMG_1.jpg', 'a/IMG_1.jpg']) == ['IMG_1_heic', 'IMG_1_jpg', 'a_IMG_1']
    assert names_of(['a b.jpg', 'a_b.jpg', 'A_B.JPG']) == ['a_b_jpg', 'a_b_jpg_2', 'A_B_jpg_3']
    assert names_of(['IMG_1.heic', 'IMG_1.jpg', 'IMG_1_jpg.png']) == ['IMG_1_heic', 'IMG_1_jpg', 'IMG_1_jpg_2']
    long = names_of([f'{"é" * 90}/{i}/{"日" * 60}.jpg' for i in range(2)])
    assert len(set(long)) == 2
    assert all(len(name.encode()) < 200 for name in long)


def test_too_few_photos_end_in_a_sentence_with_what_is_left_out(source, folder):
    (source / 'tour.mov').write_bytes(b'?')
    with pytest.raises(UserError, match=r'found no photos .*; left out: 1 \.mov \(video\); give the video file itself$'):
        copied(source, folder)
    put(source / 'a.png')
    (source / 'b.heic').write_bytes(b'?')
    with pytest.raises(UserError, match=r'holds 1 images, expected at least 4, better 50; left out: 1 \.heic \(install'):
        capture.gather(str(source), folder, 1600, 10)


def test_damaged_exif_data_are_ignored(source, folder):
    settings = b'Exif\0\0II*\0\x08\0\0\0\1\0\x69\x87\4\0\1\0\0\0\x1a\0\0\0\0\0\0\0'
    put(source / 'a.jpg', exif=settings + b'\xff\xff\x05')  # the settings say that they have 65,535 entries
    put(source / 'b.png', exif=b'Exif\0\0no EXIF data')
    for max_size, second in ((24, 'b.png'), (12, 'b.jpg')):
        names, said = copied(source, folder, max_size)
        assert (names, said) == (['a.jpg', second], '')
        assert camera_groups(folder, names) == [names]


def test_pictures_with_one_name_are_both_used_and_said_once(source, folder, caplog):
    for name in ('IMG_1.jpg', 'IMG_1.png', 'IMG_2.jpg', 'img_2.png', 'IMG_3.jpg'):
        put(source / name)
    names, _ = copied(source, folder)
    assert sorted(names) == ['IMG_1_jpg.jpg', 'IMG_1_png.png', 'IMG_2_jpg.jpg', 'IMG_3.jpg', 'img_2_png.png']
    (record,) = caplog.records
    assert 'source: 2 photos have the name of another (img_1); remove what shows the same' in record.getMessage()


def test_a_file_that_may_not_be_opened_is_not_called_damaged(source, folder, monkeypatch):
    put(source / 'a.jpg')

    def deny(*args, **options):
        raise PermissionError(13, 'Permission denied', 'a.jpg')

    monkeypatch.setattr(Image, 'open', deny)
    with pytest.raises(PermissionError):
        copied(source, folder)
