import numpy as np
import pytest

from nerf.data.formats.colmap_cameras import CAMERA_MODELS, MODEL_NAMES, ModelCamera
from nerf.data.formats.colmap_model import read_model

LENS = {'k1': 0.1, 'k2': -0.05, 'p1': 0.01, 'p2': -0.02, 'k3': 0.03, 'k4': 0.02, 'k5': -0.01, 'k6': 0.005}
LENS |= {'f': 50.0, 'fx': 50.0, 'fy': 60.0, 'cx': 33.0, 'cy': 24.0}


def camera_of(model):
    return ModelCamera(model, 64, 48, tuple(LENS[name] for name in CAMERA_MODELS[model]))


def seen_at(camera, points):
    """Where points [n, 3] in front of a camera appear, px, by the definition of OpenCV's two models."""
    k = camera.distortion
    xy = points[:, :2] / points[:, 2:]
    r2 = (xy**2).sum(1)
    if camera.is_fisheye:
        theta = np.arctan(np.sqrt(r2))
        bent = xy * (theta * np.polyval([k[3], k[2], k[1], k[0], 1], theta**2) / np.sqrt(r2))[:, None]
    else:
        x, y = xy.T
        ratio = np.polyval([k[4], k[1], k[0], 1], r2) / np.polyval([k[7], k[6], k[5], 1], r2)
        tangential = [2 * k[2] * x * y + k[3] * (r2 + 2 * x**2), k[2] * (r2 + 2 * y**2) + 2 * k[3] * x * y]
        bent = xy * ratio[:, None] + np.stack(tangential, 1)
    return (np.pad(bent, ((0, 0), (0, 1)), constant_values=1) @ camera.intrinsics.T)[:, :2]


def test_coefficients_of_each_model():
    zeros = [0.0] * 8
    assert camera_of('PINHOLE').distortion.tolist() == zeros
    assert camera_of('RADIAL').distortion.tolist() == [0.1, -0.05, *zeros[2:]]
    assert camera_of('FULL_OPENCV').distortion.tolist() == [0.1, -0.05, 0.01, -0.02, 0.03, 0.02, -0.01, 0.005]
    assert camera_of('OPENCV_FISHEYE').distortion.tolist() == [0.1, -0.05, 0.03, 0.02, *zeros[4:]]
    assert camera_of('SIMPLE_RADIAL').intrinsics.tolist() == [[50, 0, 33], [0, 50, 24], [0, 0, 1]]
    assert camera_of('OPENCV').intrinsics.tolist() == [[50, 0, 33], [0, 60, 24], [0, 0, 1]]
    assert [name for name in CAMERA_MODELS if camera_of(name).is_fisheye] == [n for n in CAMERA_MODELS if 'FISHEYE' in n]


# The rest is checked against COLMAP itself, where it is installed.


def reconstruction(pycolmap):
    """A model of one camera of each model, two images each, and points that some of them see."""
    rng = np.random.default_rng(0)
    model = pycolmap.Reconstruction()
    for i, name in enumerate(CAMERA_MODELS):
        camera = camera_of(name)
        model.add_camera_with_trivial_rig(
            pycolmap.Camera(camera_id=i + 3, model=name, width=64, height=48 + i, params=camera.params)
        )
        for j in range(2):
            image = pycolmap.Image(f'{name}/{j}.jpg', rng.uniform(0, 64, (5, 2)), camera_id=i + 3, image_id=40 - 2 * i - j)
            pose = pycolmap.Rigid3d(pycolmap.Rotation3d(rng.normal(size=3)), rng.normal(size=3))
            model.add_image_with_trivial_frame(image, pose)
    images = sorted(model.images)
    for k in range(20):
        seen_by = rng.choice(len(images), k % 4 + 2, replace=False)
        track = pycolmap.Track()
        for i in seen_by:
            free = [j for j, point in enumerate(model.image(images[i]).points2D) if not point.has_point3D()]
            if free:
                track.add_element(images[i], free[0])
        model.add_point3D(rng.normal(size=3), track, rng.integers(0, 256, 3).astype(np.uint8))
    return model


@pytest.mark.parametrize('is_text', [False, True])
def test_models_written_by_colmap_are_read_the_same(tmp_path, is_text):
    pycolmap = pytest.importorskip('pycolmap')
    wanted = reconstruction(pycolmap)
    (wanted.write_text if is_text else wanted.write_binary)(tmp_path)
    model = read_model(str(tmp_path))
    assert sorted(model.cameras) == sorted(wanted.cameras)
    for camera_id, camera in model.cameras.items():
        other = wanted.camera(camera_id)
        assert (camera.model, camera.width, camera.height) == (other.model.name, other.width, other.height)
        np.testing.assert_array_equal(camera.params, other.params)
    rows = {tuple(point.xyz): (point.color.tolist(), point.error) for point in wanted.points3D.values()}
    for point, colour, error in zip(model.points, model.point_colours, model.point_errors, strict=True):
        assert rows.pop(tuple(point)) == (colour.tolist(), error)
    assert not rows
    assert {image.id for image in model.images} == set(wanted.images)
    for image in model.images:
        other = wanted.image(image.id)
        assert (image.name, image.camera_id) == (other.name, other.camera_id)
        pose = np.column_stack([image.rotation, image.translation])
        np.testing.assert_allclose(pose, other.cam_from_world().matrix(), atol=1e-14)
        seen = [wanted.point3D(point.point3D_id).xyz for point in other.points2D if point.has_point3D()]
        np.testing.assert_array_equal(sorted(map(tuple, model.points[image.seen])), sorted(map(tuple, seen)))


@pytest.mark.parametrize('name', CAMERA_MODELS)
def test_cameras_see_points_where_colmap_sees_them(name):
    pycolmap = pytest.importorskip('pycolmap')
    camera = camera_of(name)
    x, y = np.meshgrid(np.linspace(-0.7, 0.6, 9), np.linspace(-0.5, 0.4, 8))
    points = np.stack([x.ravel(), y.ravel(), np.ones(x.size)], 1) * np.linspace(1, 3, x.size)[:, None]
    other = pycolmap.Camera(model=name, width=64, height=48, params=camera.params)
    np.testing.assert_allclose(seen_at(camera, points), other.img_from_cam(points), atol=1e-10)
    np.testing.assert_array_equal(camera.intrinsics, other.calibration_matrix())


def test_colmap_has_the_same_numbers_for_its_models():
    pycolmap = pytest.importorskip('pycolmap')
    known = {int(model): name for name, model in pycolmap.CameraModelId.__members__.items()}
    assert {i: name for i, name in enumerate(MODEL_NAMES) if i in known} == {i: known[i] for i in range(18) if i in known}
    assert set(CAMERA_MODELS) <= set(MODEL_NAMES)
