"""Photos with cameras of any reconstruction, and the scene made of them; shared by the formats of real photos."""

import dataclasses
import logging
import os
import re
from collections.abc import Sequence

import numpy as np

from nerf.data.formats.masks import mask_beside, read_masks
from nerf.data.formats.pose_matrices import without_scale
from nerf.data.image_kinds import ENDINGS, is_folder_of_images, is_image, no_images
from nerf.data.images import is_on_its_side, read_shrunk, shrunk_size, size_of
from nerf.data.names import are_distinct, check_names, same_file
from nerf.data.options import DataOptions
from nerf.data.placement import place
from nerf.data.reading import fill_pixels, map_files
from nerf.data.scene import Scene, check_camera, checked, stack_cameras
from nerf.data.splits import hold_out
from nerf.errors import UserError
from nerf.ray.cameras import Camera
from nerf.ray.lenses import Lens

LOG = logging.getLogger('nerf')


@dataclasses.dataclass(frozen=True)
class Photo:
    """One photo and its camera.

    Attributes:
        name: of its file, within the folder of images; photos are sorted by it.
        path: of its file.
        pose: camera_to_world, [3, 4], float64, OpenGL's axes, units of its file.
        intrinsics: K, [3, 3], px of an image of `size`.
        size: (width, height) that the intrinsics are for, px.
        distortion: [8], see `nerf.ray.lenses.Lens`; None for a pinhole.
        is_fisheye: whether the distortion is a fisheye's.
        split: 'train', 'val' or 'test'; None: by `splits_of`.
        mask: of its mask's file, see `nerf.data.formats.masks`; None: all of it is used.
    """

    name: str
    path: str
    pose: np.ndarray
    intrinsics: np.ndarray
    size: tuple[int, int]
    distortion: np.ndarray | None = None
    is_fisheye: bool = False
    split: str | None = None
    mask: str | None = None


def assemble(
    where: str,
    photos: Sequence[Photo],
    options: DataOptions,
    points: np.ndarray | None = None,
    bounds: np.ndarray | None = None,
) -> Scene:
    """Make the scene of these photos, sorted by name, in the frame of its type.

    Args:
        where: the file of the cameras, for messages.
        points: [n, 3], surface points in the file's world, or none.
        bounds: [k, 2], nearest and farthest depths in the photos, file's units; None: see `nerf.data.placement.place`.

    Raises:
        UserError: an invalid camera or image, named by the message, or no training image.
    """
    points = np.zeros((0, 3)) if points is None else points
    photos = sorted(photos, key=lambda photo: photo.name)
    poses = without_scale(where, np.stack([photo.pose for photo in photos]))
    photos = [dataclasses.replace(photo, pose=pose) for photo, pose in zip(photos, poses, strict=True)]
    split = splits_of(photos, options)
    if 'train' not in split:
        raise UserError(
            f'{where}: no training image among {len(photos)}, expected at least one; check the splits, or add images'
        )
    names = [f'{of}_{stem}' for of, stem in zip(split, stems(where, photos), strict=True)]
    check_names(names, split, where)
    pixels, used, cameras = read_photos(where, photos, options)
    cameras, points, frame = place(cameras, poses, points, bounds, options)
    return checked(Scene(tuple(names), tuple(split), pixels, cameras, points=points, frame=frame, used=used))


def splits_of(photos: Sequence[Photo], options: DataOptions) -> list[str]:
    """Return the split of each photo: its own or, without one, test for every eighth (`test_every`th) from the first."""
    otherwise = hold_out(len(photos), options.test_every)
    return [photo.split or split for photo, split in zip(photos, otherwise, strict=True)]


def stems(where: str, photos: Sequence[Photo]) -> list[str]:
    """Return names for the photos: their file names without ending or, if these repeat, with their folders.

    If the format gives all splits, names need only be unique within each.

    Raises:
        UserError: a photo is listed twice.
    """
    paths = [os.path.normpath(photo.name) for photo in photos]
    whole = [os.path.splitext(path)[0] if path.lower().endswith(ENDINGS) else path for path in paths]
    is_split = all(photo.split for photo in photos)
    splits = [photo.split if is_split else None for photo in photos]
    for names in ([os.path.basename(path) for path in whole], whole, paths):
        if are_distinct([f'{split}/{name}' for split, name in zip(splits, names, strict=True)]):
            return [re.sub(r'[/\\]', '_', name) for name in names]
    known = [same_file(path) for path in paths]
    twice = next(path for path in paths if known.count(same_file(path)) > 1)
    raise UserError(f'{where}: lists the image {twice!r} twice; expected each once')


def with_masks(folder: str, photos: Sequence[Photo]) -> list[Photo]:
    """Return the photos of the scene in `folder`, those without a mask with the one beside them, if there is one."""
    found = [dataclasses.replace(photo, mask=photo.mask or mask_beside(folder, photo.path)) for photo in photos]
    unused = os.path.join(folder, 'masks')
    if os.path.isdir(unused) and not any(photo.mask for photo in found):
        LOG.warning('%s: holds no mask by the name of a photo, such as 0001.jpg.png or 0001.png, and is not used', unused)
    return found


def read_photos(where: str, photos: Sequence[Photo], options: DataOptions) -> tuple[np.ndarray, np.ndarray | None, Camera]:
    """Read the photos and their masks at the target size; return `Scene.pixels`, `Scene.used` and cameras of that size.

    Raises:
        UserError: an invalid camera, image or mask, named by the message.
    """
    cameras = cameras_of(where, photos)
    full_sizes = [size for size, _ in map_files(size_as_read, photos)]
    found = zip(photos, full_sizes, strict=True)
    sizes = np.array([shrunk_size(photo.path, size, options_for(photo, size, options)) for photo, size in found])
    pixels = fill_pixels(where, full_sizes, sizes, lambda i: read_photo(photos[i], options))
    used = read_masks([photo.mask for photo in photos], [photo.path for photo in photos], sizes)
    return pixels, used, resized(cameras, sizes)


def cameras_of(where: str, photos: Sequence[Photo]) -> Camera:
    """Stack the photos' cameras, in the frame and at the size of their file; near and far are placeholders, 0 and 1.

    Raises:
        UserError: an invalid camera.
    """
    cameras = stack_cameras(
        np.stack([photo.pose for photo in photos]),
        np.stack([photo.intrinsics for photo in photos]),
        np.array([photo.size for photo in photos]),
        near=0.0,
        far=1.0,
    )
    if any(photo.is_fisheye or (photo.distortion is not None and np.any(photo.distortion)) for photo in photos):
        coefficients = [np.zeros(8) if photo.distortion is None else photo.distortion for photo in photos]
        is_fisheye = np.array([photo.is_fisheye for photo in photos], np.int32)
        with np.errstate(over='ignore'):  # overflow to infinity is refused by `check_camera`
            cameras = cameras.replace(lens=Lens(np.array(coefficients, np.float32), is_fisheye))
    for i, photo in enumerate(photos):
        check_camera(f'{photo.name} in {where}', cameras.at(i))
        check_principal_point(f'{photo.name} in {where}', photo.intrinsics, photo.size)
    return cameras


def check_principal_point(name: str, intrinsics: np.ndarray, size: tuple[int, int]) -> None:
    """Check that the principal point of K [3, 3], px, lies in the image of `size` (width, height), which K may not be for.

    Raises:
        UserError: it does not; the message begins with `name`.
    """
    x, y = intrinsics[:2, 2]
    if not (0 <= x <= size[0] and 0 <= y <= size[1]):
        raise UserError(
            f'{name}: the principal point {x:g}, {y:g} px lies outside of the image of {size[0]} x {size[1]} px, so the '
            'intrinsics are for another size; give that size with them, or use the images that they are for'
        )


def read_photo(photo: Photo, options: DataOptions) -> np.ndarray:
    """Read a photo at the target size, see `options_for`, premultiplied uint8 [height, width, 4].

    Raises:
        UserError: its shape is not its camera's.
    """
    size, is_turned = size_as_read(photo)
    return read_shrunk(photo.path, options_for(photo, size, options), is_turned)[0]


def size_as_read(photo: Photo) -> tuple[tuple[int, int], bool]:
    """Return the (width, height), px, of a photo's file, and whether it is turned by its EXIF orientation, its size as well.

    Some tools turn photos before they find the cameras, others do not: it is turned if so, and only so, it has the shape of
    its camera.

    Raises:
        UserError: an unreadable image, or one that has another shape in either way.
    """
    width, height = size_of(photo.path)
    if _has_shape((width, height), photo.size):
        return (width, height), False
    is_turned = is_on_its_side(photo.path)
    if is_turned and _has_shape((height, width), photo.size):
        return (height, width), True
    also = f' ({height} x {width} px turned by its EXIF orientation)' if is_turned else ''
    expected = f'{photo.size[0]} x {photo.size[1]}'
    raise UserError(
        f'{photo.path}: found {width} x {height} px{also}, expected the shape of its camera, {expected}; use the images that '
        'the cameras were made from'
    )


def _has_shape(size: tuple[int, int], camera_size: tuple[int, int]) -> bool:
    """Return whether an image has the shape of its camera's, to 1 % or 2 px, as smaller copies have rounded sizes."""
    width, height = size
    return abs(height - width * camera_size[1] / camera_size[0]) <= max(2.0, 0.01 * height)


def options_for(photo: Photo, size: tuple[int, int], options: DataOptions) -> DataOptions:
    """Return the options with the target width of a photo whose file has (width, height) `size`, px.

    If no width is set, a photo within 1 % or one pixel of the target width is not downsampled, nor, with factor 1, is a
    smaller one.
    """
    width = size[0]
    wanted = options.target_width(photo.size[0])
    is_close = abs(wanted - width) <= max(1.0, 0.01 * width)
    is_there = options.width is None and (is_close or (options.factor == 1 and wanted > width))
    return dataclasses.replace(options, factor=1, width=width if is_there else wanted)


def resized(cameras: Camera, sizes: np.ndarray) -> Camera:
    """Scale cameras to images of (width, height) [k, 2] px, each axis by its own ratio, as the sizes are rounded separately."""
    ratio = sizes / np.stack([cameras.width, cameras.height], axis=1)
    lenses = cameras.camera_to_pixel.copy()
    lenses[:, 0] *= ratio[:, :1].astype(np.float32)
    lenses[:, 1] *= ratio[:, 1:].astype(np.float32)
    width, height = sizes.astype(np.int32).T
    return cameras.replace(camera_to_pixel=lenses, width=width, height=height)


def image_folder(root: str, full_width: int, options: DataOptions) -> str:
    """Choose the folder to read from `images`, `images_2`, ... in `root`: the smallest images that are as large as the target.

    `full_width` is the width of the narrowest of `images`, px, also if these are missing. Without a target width or factor,
    the largest images are read.

    Raises:
        UserError: no such folder, or only smaller images.
    """
    folders = {}
    for entry in os.scandir(root):
        match = re.fullmatch(r'images(?:_([1-9]\d{0,3}))?', entry.name)
        if match and entry.is_dir():
            folders[int(match[1] or 1)] = entry.path
    there = {factor: folder for factor, folder in folders.items() if images_below(folder)}
    found = ', '.join(os.path.basename(there[factor]) for factor in sorted(there))
    if folders and not there:
        folder = folders[min(folders)]
        raise no_images(folder, files_below(folder))
    if not there:
        raise UserError(f'{root}: found no images, expected a folder images (or images_2, images_4, images_8) with files in it')
    wanted = full_width / options.width if options.width else options.factor
    large_enough = [factor for factor in there if factor <= wanted]
    if large_enough:
        return there[max(large_enough)]
    largest = min(there)
    if options.width is None and options.factor == 1:
        LOG.info('%s: without full-size images, %s are used', root, os.path.basename(there[largest]))
        return there[largest]
    asked, remedy = f'factor {options.factor}', f'factor={largest}'
    if options.width:
        asked, remedy = f'width {options.width}', f'width={full_width // largest}'
    raise UserError(f'{root}: data.{asked} asked for, but found only {found}, which are smaller; set --config.data.{remedy}')


def list_images(folder: str) -> list[str]:
    """List the names of the image files in a folder, sorted."""
    return [name for name in sorted(os.listdir(folder)) if is_image(name) and os.path.isfile(os.path.join(folder, name))]


def images_below(folder: str) -> list[str]:
    """List the image files in a folder and its subfolders, as paths from there, sorted."""
    return [path for path in files_below(folder) if is_image(os.path.basename(path))]


def files_below(folder: str) -> list[str]:
    """List the files in a folder and those of its subfolders that may hold images, as paths from there, sorted."""
    paths = []
    for at, inner, names in os.walk(folder):
        inner[:] = filter(is_folder_of_images, inner)
        paths += [os.path.relpath(os.path.join(at, name), folder) for name in names]
    return sorted(paths)
