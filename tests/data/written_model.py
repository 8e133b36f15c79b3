"""A small COLMAP model by hand, as bytes and as text: no two fields are alike."""

import struct

import numpy as np

from nerf.data.formats.colmap_cameras import MODEL_NAMES

CAMERAS = [(7, 1, 640, 480, (500.0, 510.0, 320.0, 241.0)), (3, 4, 12, 8, (9.0, 9.5, 6.0, 4.0, 0.1, -0.2, 0.01, 0.02))]
IMAGES = [
    (5, (1.0, 0.0, 0.0, 0.0), (0.5, -1.0, 2.0), 7, 'a.jpg', [11, -1, 8, 11]),
    (2, (0.0, 3.0, 0.0, 4.0), (1.5, 2.5, 3.5), 3, 'left/b c.png', []),  # length 5
    (9, (0.5, 0.5, 0.5, 0.5), (0.0, 0.0, 0.0), 3, 'd.jpg', [77, 4, 9]),  # 77 and 9: points that were removed
]
POINTS = [
    (8, (1.0, 2.0, 3.0), (255, 0, 7), 0.25, [(5, 2)]),
    (4, (-1.0, 0.5, 1e3), (1, 2, 3), -1.0, []),
    (11, (4.0, 5.0, 6.0), (9, 8, 7), 1.5, [(5, 0), (9, 1), (5, 3)]),
]


def camera_bytes(cameras):
    rows = [struct.pack(f'<IiQQ{len(row[4])}d', *row[:4], *row[4]) for row in cameras]
    return struct.pack('<Q', len(rows)) + b''.join(rows)


def image_bytes(images):
    content = struct.pack('<Q', len(images))
    for image_id, quaternion, translation, camera_id, name, seen in images:
        content += struct.pack('<I7dI', image_id, *quaternion, *translation, camera_id) + name.encode() + b'\0'
        content += struct.pack('<Q', len(seen)) + b''.join(struct.pack('<ddq', 1.5, 2.5, point_id) for point_id in seen)
    return content


def point_bytes(points):
    content = struct.pack('<Q', len(points))
    for point_id, xyz, colour, error, track in points:
        content += struct.pack('<Q3d3BdQ', point_id, *xyz, *colour, error, len(track))
        content += b''.join(struct.pack('<II', *entry) for entry in track)
    return content


def text(row):
    return ' '.join(repr(value) if isinstance(value, float) else str(value) for value in row)


def camera_lines(cameras):
    return '# CAMERA_ID, MODEL\n' + ''.join(text((i, MODEL_NAMES[m], w, h, *p)) + '\n' for i, m, w, h, p in cameras)


def image_lines(images):
    content = '# Image list with two lines of data per image:\n'
    for image_id, quaternion, translation, camera_id, name, seen in images:
        content += text((image_id, *quaternion, *translation, camera_id, name)) + '\n'
        content += ' '.join(text((1.5, 2.5, point_id)) for point_id in seen) + '\n'
    return content


def point_lines(points):
    rows = [text((i, *xyz, *colour, error, *np.ravel(track).astype(int))) for i, xyz, colour, error, track in points]
    return '# POINT3D_ID\n\n' + '\n'.join(rows)


WRITERS = {'.bin': (camera_bytes, image_bytes, point_bytes), '.txt': (camera_lines, image_lines, point_lines)}
PARTS = ('cameras', 'images', 'points3D')


def write(folder, ending, cameras=CAMERAS, images=IMAGES, points=POINTS):
    folder.mkdir(exist_ok=True)
    for part, writer, rows in zip(PARTS, WRITERS[ending], (cameras, images, points), strict=True):
        content = writer(rows)
        (folder / (part + ending)).write_bytes(content if isinstance(content, bytes) else content.encode())
    return str(folder)
