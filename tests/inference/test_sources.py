"""Words that name pictures, and the words of the command line."""

import pytest

from fastvit_dense.errors import ImageError
from fastvit_dense.inference.sources import list_images, named_images, split_words
from tests.facts import raises_naming


@pytest.fixture
def tree(tmp_path):
    for name in ('b.jpg', 'a.PNG', 'notes.txt', 'sub/c.jpg', 'sub/deep/d.webp', 'sub/e.gif'):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b'x')
    (tmp_path / 'sub/again').symlink_to(tmp_path)
    return tmp_path


def names(paths, tree):
    return [str(path.relative_to(tree)) for path in paths]


def test_folders_patterns_and_lists(tree):
    assert names(list_images(tree), tree) == ['a.PNG', 'b.jpg']
    found = names(list_images(tree, recursive=True), tree)
    assert found == ['a.PNG', 'b.jpg', 'sub/c.jpg', 'sub/deep/d.webp']
    assert names(list_images(f'{tree}/sub/*.jpg'), tree) == ['sub/c.jpg']
    assert names(list_images(f'{tree}/b.jpg'), tree) == ['b.jpg']
    (tree / 'notes.txt').write_text(f'\n{tree}/b.jpg\n  {tree}/none.jpg \n')
    assert names(list_images(tree / 'notes.txt'), tree) == ['b.jpg', 'none.jpg']
    assert [str(path) for path in named_images(['a\n', '\n'], 'x')] == ['a']
    address = 'http://a.org//b.jpg'
    assert list_images(address) == named_images([f' {address}\n'], 'x') == [address]


def test_nothing_is_named(tree):
    (tree / 'albums').mkdir()
    (tree / 'sub').rename(tree / 'albums/sub')
    with raises_naming(ImageError, tree / 'albums', 'no pictures', 'with --recursive'):
        list_images(tree / 'albums')
    with raises_naming(ImageError, f'{tree}/*.bmp', 'no file fits'):
        list_images(f'{tree}/*.bmp')
    with raises_naming(ImageError, 'standard input', 'one picture a line'):
        named_images([' \n'], 'standard input')


@pytest.mark.parametrize(
    ('model', 'words', 'expected'),
    [
        ('name', ['best.pth', 'a.jpg'], ('best.pth', ['a.jpg'])),
        ('name', ['CHECKPOINT', 'photos'], ('CHECKPOINT', ['photos'])),
        ('name', ['x.onnx', 'a.jpg', 'b.jpg'], ('x.onnx', ['a.jpg', 'b.jpg'])),
        ('name', ['photos'], (None, ['photos'])),
        ('name', ['a.jpg', 'b.jpg'], (None, ['a.jpg', 'b.jpg'])),
        ('best.pth', ['photos', 'more'], (None, ['photos', 'more'])),
        ('best.pth', ['a.jpg'], (None, ['a.jpg'])),
        ('best.pth', ['x.onnx', 'a.jpg'], ('x.onnx', ['a.jpg'])),
        ('x.onnx', ['-'], (None, ['-'])),
        ('name', ['http://a/b.jpg?x=1', 'c.jpg'], (None, ['http://a/b.jpg?x=1', 'c.jpg'])),
        ('name', ['http://a/b.pth', 'c.jpg'], ('http://a/b.pth', ['c.jpg'])),
    ],
)
def test_words_after_the_model(model, words, expected):
    assert split_words(model, words) == expected
