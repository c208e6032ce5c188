import cv2
import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from mmengine.registry import TRANSFORMS

from fastvit_dense.datasets.freihand import FreiHAND
from fastvit_dense.datasets.hand_transforms import (
    HandCrop,
    PackHandInputs,
    RandomHandBackground,
    RandomHandColor,
    RandomHandCrop,
    RandomHandFlip,
    RandomHandOcclusion,
    split_affine,
    warp_image,
)
from fastvit_dense.errors import DataError, MissingFileError
from fastvit_dense.hand import Mano, standin_mano
from tests.facts import raises_naming


def project(points, K):
    image = np.asarray(points, np.float64) @ np.asarray(K, np.float64).T
    return image[:, :2] / image[:, 2:]


def move(A, uv):
    return uv @ A[:2, :2].T + A[:2, 2]


@pytest.fixture(scope='module')
def dataset(hand_tree):
    return FreiHAND(hand_tree, mano='standin', pipeline=[{'type': 'LoadImageFromFile'}])


numbers = st.floats(-1.5, 1.5)


@given(st.lists(numbers, min_size=6, max_size=6), st.floats(100, 900), st.floats(0.7, 1.4), numbers)
def test_every_affine_map_is_a_rolled_camera(entries, focal, ratio, skew):
    A = np.vstack([np.array(entries).reshape(2, 3) * (1, 1, 100), [0, 0, 1]])
    if np.linalg.det(A) < 0.05:
        return
    K = np.array([[focal, 20 * skew, 130], [0, ratio * focal, 70], [0, 0, 1.0]])
    new_K, R = split_affine(A, K)
    np.testing.assert_allclose(new_K @ R, A @ K, atol=1e-9)
    np.testing.assert_allclose(R @ R.T, np.eye(3), atol=1e-12)
    np.testing.assert_allclose(R[2], [0, 0, 1])
    assert np.linalg.det(R) == pytest.approx(1)
    assert new_K[1, 0] == new_K[2, 0] == new_K[2, 1] == 0
    assert new_K[0, 0] > 0
    assert new_K[1, 1] > 0


@pytest.mark.parametrize('angle', [-170, -90, -30, 0, 45, 90, 180])
def test_turning_and_zooming_in_closed_form(angle):
    """fx = fy: the focal length is zoomed, the principal point moves with the image, R = Rz."""
    turn = np.deg2rad(angle)
    Rz = np.array([[np.cos(turn), -np.sin(turn), 0], [np.sin(turn), np.cos(turn), 0], [0, 0, 1]])
    A = np.diag([1.7, 1.7, 1]) @ Rz
    A[:2, 2] = 12, -40
    new_K, R = split_affine(A, np.array([[480, 0, 100], [0, 480, 130], [0, 0, 1.0]]))
    np.testing.assert_allclose(R, Rz, atol=1e-12)
    principal = move(A, np.array([100.0, 130.0]))
    expected = [[816, 0, principal[0]], [0, 816, principal[1]], [0, 0, 1]]
    np.testing.assert_allclose(new_K, expected, atol=1e-9)


CHAINS = {
    'crop': [HandCrop(224)],
    'smaller': [HandCrop(160, margin=0.8)],
    'random': [RandomHandCrop(224, rotation=90, zoom=(0.6, 1.6), shift=0.2)],
    'upside down': [RandomHandCrop(256, rotation=180)],
    'flip': [RandomHandFlip(1.0)],
    'all': [RandomHandCrop(200), RandomHandFlip(1.0), RandomHandCrop(224), RandomHandColor(),
            RandomHandOcclusion(1.0)],
}  # fmt: skip


@pytest.mark.parametrize('chain', CHAINS)
def test_points_follow_the_image(dataset, chain):
    np.random.seed(0)
    for index in (0, 17, 40):
        before = dataset[index]
        after = dataset[index]
        for transform in CHAINS[chain]:
            after = transform(after)
        A = after['image_transform']
        for name in ('joints', 'vertices'):
            expected = move(A, project(before[name], before['K']))
            found = project(after[name], after['K'])
            assert np.abs(found - expected).max() < 0.1
            assert np.abs(found - expected).max() < 1e-3, 'float32 allows this much'
            # the hand itself is only turned or mirrored
            np.testing.assert_allclose(
                after['camera_roll'] @ before[name].T, after[name].T, atol=1e-6
            )
        for name in ('joints', 'vertices', 'K', 'global_orient', 'hand_pose', 'betas'):
            assert after[name].dtype == np.float32
        np.testing.assert_array_equal(after['ori_K'], before['K'])
        assert after['img'].dtype == np.uint8
        assert after['img_shape'] == after['img'].shape[:2]


@pytest.mark.parametrize('chain', CHAINS)
def test_the_picture_moves_as_the_points_say(dataset, chain):
    """A white spot painted on a joint is found again where the joint then projects to."""
    rng = np.random.default_rng(0)
    np.random.seed(1)
    found_one = 0
    for joint in rng.permutation(21)[:8]:
        sample = dataset[3]
        u, v = project(sample['joints'][joint : joint + 1], sample['K'])[0]
        y, x = np.mgrid[:224, :224] + 0.5  # the centre of pixel 0 lies at 0.5
        spot = 255 * np.exp(-((x - u) ** 2 + (y - v) ** 2) / 2 / 4**2)
        sample['img'] = np.repeat(spot[..., None], 3, 2).round().astype(np.uint8)
        for transform in CHAINS[chain]:
            if not isinstance(transform, RandomHandColor | RandomHandOcclusion):
                sample = transform(sample)
        u, v = project(sample['joints'][joint : joint + 1], sample['K'])[0]
        height, width = sample['img_shape']
        if not (20 < u < width - 20 and 20 < v < height - 20):
            continue
        gray = sample['img'][..., 0].astype(float)
        gray[gray < 3] = 0
        gray[:] = np.where(
            np.hypot(*(np.mgrid[:height, :width] + 0.5 - np.array([v, u])[:, None, None])) < 20,
            gray,
            0,
        )  # the border has a colour of its own
        y, x = np.mgrid[:height, :width] + 0.5
        centre = np.array([(gray * x).sum(), (gray * y).sum()]) / gray.sum()
        assert np.abs(centre - (u, v)).max() < 0.1
        found_one += 1
    assert found_one >= 3


@pytest.mark.parametrize('chain', ['random', 'upside down', 'flip', 'all'])
def test_mano_with_the_new_rotations_gives_the_new_mesh(dataset, chain):
    np.random.seed(2)
    sample = dataset[11]
    for transform in CHAINS[chain]:
        sample = transform(sample)
    mano = Mano(standin_mano(), side='right' if sample['is_right'] else 'left')
    names = ('global_orient', 'hand_pose', 'betas')
    with torch.no_grad():
        output = mano(*(torch.from_numpy(sample[name])[None] for name in names))
    vertices = output.vertices[0].numpy()
    np.testing.assert_allclose(
        vertices - vertices.mean(0), sample['vertices'] - sample['vertices'].mean(0), atol=2e-6
    )
    assert sample['is_right'] == ('flip' not in chain and chain != 'all')


def test_flipping_twice_changes_nothing(dataset):
    before = dataset[5]
    after = RandomHandFlip(1.0)(RandomHandFlip(1.0)(dataset[5]))
    assert after['is_right']
    for name in ('img', 'K', 'joints', 'vertices', 'global_orient', 'hand_pose'):
        np.testing.assert_allclose(after[name], before[name], atol=1e-6)
    assert RandomHandFlip(0.0)(dataset[5]).get('image_transform') is None


def test_without_a_camera_the_hand_moves_all_the_same(dataset):
    """Turned and mirrored samples tell so, for predictions to be brought back."""
    known, unknown = dataset[5], dataset[5]
    known['K'] = np.array([[480, 0, 100], [0, 480, 120], [0, 0, 1.0]])
    del unknown['K']
    for results in (known, unknown):
        results['global_orient'] = np.eye(3)
        HandCrop(96).crop(RandomHandFlip(1.0)(results), angle=40, zoom=1.3, shift=(0.1, 0))
    assert 'K' not in unknown
    assert np.linalg.det(unknown['camera_roll']) == pytest.approx(-1)
    for name in ('camera_roll', 'joints', 'vertices', 'global_orient'):
        np.testing.assert_allclose(unknown[name], known[name], atol=1e-6)


def test_the_whole_image_stays_as_it_is(dataset):
    before, after = dataset[0], HandCrop(224)(dataset[0])
    np.testing.assert_array_equal(after['img'], before['img'])
    np.testing.assert_allclose(after['K'], before['K'], rtol=1e-6)
    np.testing.assert_array_equal(after['global_orient'], before['global_orient'])


def test_a_box_fills_the_input():
    image = np.zeros((300, 500, 3), np.uint8)
    image[100:140, 200:280] = 255
    crop = HandCrop(160)({'img': image, 'box': (200, 100, 80, 40)})
    assert (crop['img'][42:118, 2:-2] == 255).all()
    assert (crop['img'][:38] == 0).all()
    np.testing.assert_allclose(move(crop['image_transform'], np.array([[200, 80], [280, 160.0]])),
                               [[0, 0], [160, 160]])  # fmt: skip
    assert 'K' not in crop
    wide = HandCrop(160, margin=2.0)({'img': image, 'box': (200, 100, 80, 40)})
    np.testing.assert_allclose(move(wide['image_transform'], np.array([240.0, 120.0])), 80)


def test_shrinking_does_not_alias():
    """A checkerboard of single pixels becomes even grey."""
    board = np.indices((900, 900)).sum(0) % 2 * 255
    small = warp_image(np.repeat(board[..., None], 3, 2).astype(np.uint8),
                       np.diag([0.1, 0.1, 1]), (90, 90))  # fmt: skip
    assert small.shape == (90, 90, 3)
    assert np.abs(small.astype(int) - 127).max() <= 2


@pytest.mark.parametrize('shape', [(1, 1), (1, 7), (333, 2), (2001, 1503)])
def test_odd_images(shape):
    crop = RandomHandCrop(64)({'img': np.full((*shape, 3), 9, np.uint8)})
    assert crop['img'].shape == (64, 64, 3)


def test_a_box_without_size():
    with raises_naming(DataError, 'a.jpg', 'box', 0, 'found', '0 x 0'):
        HandCrop()({'img': np.zeros((9, 9, 3), np.uint8), 'img_path': 'a.jpg', 'box': (1, 1, 0, 0)})


def test_random_numbers_are_numpys(dataset):
    chain = [RandomHandCrop(), RandomHandColor(), RandomHandOcclusion(1.0)]
    results = []
    for seed in (0, 0, 1):
        np.random.seed(seed)
        sample = dataset[8]
        for transform in chain:
            sample = transform(sample)
        results.append(sample)
    np.testing.assert_array_equal(results[0]['img'], results[1]['img'])
    np.testing.assert_array_equal(results[0]['joints'], results[1]['joints'])
    assert (results[0]['img'] != results[2]['img']).any()
    untouched = RandomHandCrop(prob=0.0)(dataset[8])
    np.testing.assert_array_equal(untouched['img'], dataset[8]['img'])


def test_ranges_of_the_random_crop(dataset):
    np.random.seed(0)
    transform = RandomHandCrop(224, rotation=40, zoom=(0.5, 2.0), shift=0.1)
    maps = []
    for _ in range(300):
        sample = {'img': np.zeros((32, 32, 3), np.uint8)}
        maps.append(transform(sample)['image_transform'])
    maps = np.array(maps)
    zoom = np.sqrt(np.linalg.det(maps[:, :2, :2])) * 32 / 224
    angle = np.rad2deg(np.arctan2(maps[:, 1, 0], maps[:, 0, 0]))
    middle = np.array([move(A, np.array([16.0, 16.0])) for A in maps]) / 224 - 0.5
    assert 0.5 <= zoom.min() < 0.55
    assert 1.9 < zoom.max() <= 2.0
    assert np.median(zoom) == pytest.approx(1, abs=0.1)
    assert -40 <= angle.min() < -38
    assert 38 < angle.max() <= 40
    assert 0.09 < np.abs(middle).max() <= 0.1 + 1e-9


def test_color():
    np.random.seed(0)
    image = np.full((64, 64, 3), 100, np.uint8)
    same = RandomHandColor(channel=0, contrast=0, noise=0)({'img': image})['img']
    np.testing.assert_array_equal(same, image)
    gains = np.array([
        RandomHandColor(channel=0.4, contrast=0, noise=0)({'img': image})['img'].mean((0, 1))
        for _ in range(200)
    ]) / 100  # fmt: skip
    assert 0.59 < gains.min() < 0.63
    assert 1.37 < gains.max() < 1.41
    assert np.abs(np.corrcoef(gains.T) - np.eye(3)).max() < 0.3, 'the channels are independent'
    noises = [
        RandomHandColor(channel=0, contrast=0, noise=10)({'img': image})['img'].std()
        for _ in range(50)
    ]
    assert 0 <= min(noises) < 2
    assert 8 < max(noises) < 10.5
    bright = RandomHandColor(1.0, 1.0, 50)({'img': np.full((8, 8, 3), 255, np.uint8)})['img']
    assert bright.dtype == np.uint8


def test_occlusion():
    np.random.seed(0)
    rng = np.random.default_rng(0)
    image = rng.integers(0, 256, (100, 120, 3)).astype(np.uint8)
    joints = rng.normal(size=(21, 3))
    shares = []
    for _ in range(60):
        after = RandomHandOcclusion(1.0, area=(0.05, 0.2))({'img': image.copy(), 'joints': joints})
        shares.append((after['img'] != image).any(-1).mean())
        assert after['joints'] is joints
    assert min(shares) > 0.03
    assert max(shares) <= 0.21
    assert np.mean(shares) > 0.07
    after = RandomHandOcclusion(0.0)({'img': image.copy()})
    np.testing.assert_array_equal(after['img'], image)
    RandomHandOcclusion(1.0)({'img': image[:1, :1]})


def test_background(dataset, tmp_path):
    cv2.imwrite(str(tmp_path / 'red.png'), np.full((50, 80, 3), (0, 0, 255), np.uint8))
    transform = RandomHandBackground(str(tmp_path), prob=1.0)
    sample = dataset[4]
    assert sample['version'] == 'gs'
    before = sample['img'].copy()
    mask = cv2.imread(sample['mask_path'], cv2.IMREAD_GRAYSCALE)
    after = transform(sample)['img']
    inside = cv2.erode((mask > 150).astype(np.uint8), np.ones((5, 5))) > 0
    outside = cv2.dilate((mask > 150).astype(np.uint8), np.ones((5, 5))) == 0
    np.testing.assert_array_equal(after[inside], before[inside])
    assert (after[outside] == (0, 0, 255)).all()
    assert inside.sum() > 500
    assert outside.sum() > 5000

    other = dataset[12 + 4]
    assert other['version'] == 'hom'
    assert 'mask_path' not in other
    np.testing.assert_array_equal(transform(other)['img'], dataset[16]['img'])


def test_bad_backgrounds(dataset, tmp_path):
    with raises_naming(MissingFileError, tmp_path, 'photographs', 'none'):
        RandomHandBackground(str(tmp_path))
    (tmp_path / 'a.png').write_bytes(b'no image')
    with raises_naming(DataError, tmp_path / 'a.png'):
        RandomHandBackground(str(tmp_path), prob=1.0)(dataset[0])
    cv2.imwrite(str(tmp_path / 'mask.png'), np.zeros((5, 6), np.uint8))
    sample = {**dataset[0], 'mask_path': str(tmp_path / 'mask.png')}
    with raises_naming(DataError, 'mask.png', (224, 224), 'found', (5, 6)):
        RandomHandBackground(str(tmp_path), prob=1.0)(sample)


def test_packing(dataset):
    sample = HandCrop(224)(dataset[14])
    packed = PackHandInputs()(sample)
    inputs, element = packed['inputs'], packed['data_samples']
    assert inputs.dtype == torch.uint8
    np.testing.assert_array_equal(inputs.permute(1, 2, 0).numpy(), sample['img'])
    for name in ('joints', 'vertices', 'global_orient', 'hand_pose', 'betas'):
        value = getattr(element.gt_hand, name)
        assert value.dtype == torch.float32
        np.testing.assert_array_equal(value.numpy(), sample[name])
    assert element.metainfo['img_id'] == 14
    assert element.version == 'hom'
    assert element.img_shape == (224, 224)
    np.testing.assert_array_equal(element.K, sample['K'])
    assert element.scale == sample['scale']
    assert element.to('cpu').gt_hand.joints.shape == (21, 3)


def test_packing_a_picture_of_which_nothing_is_known():
    packed = PackHandInputs()(HandCrop(64)({'img': np.zeros((48, 64, 3), np.uint8)}))
    assert packed['inputs'].shape == (3, 64, 64)
    assert 'gt_hand' not in packed['data_samples']
    assert 'K' not in packed['data_samples'].metainfo


def test_all_are_registered():
    for name in ('HandCrop', 'RandomHandCrop', 'RandomHandFlip', 'RandomHandColor',
                 'RandomHandOcclusion', 'PackHandInputs'):  # fmt: skip
        assert name in repr(TRANSFORMS.build({'type': name})) or name == 'PackHandInputs'
