"""Pictures that files are compared on."""

from fastvit_dense.deploy.check import check_images


def test_sizes_of_the_pictures():
    """The config's, a half, odd in both directions, upright; one size where a file takes one."""
    sizes = [image.shape[:2] for _, image in check_images((96, 128))]
    assert sizes == [(96, 128), (61, 71), (96, 128), (61, 71), (65, 80)]
    assert {image.shape for _, image in check_images((96, 128), dynamic=False)} == {(96, 128, 3)}
    square = [image.shape[:2] for _, image in check_images((96, 96), square=True)]
    assert all(height == width for height, width in square)
    assert len(set(square)) == 3
