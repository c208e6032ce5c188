"""Pictures of a COCO file: missing, broken, of another size, turned, under odd names."""

import pytest
from PIL import Image

from fastvit_dense.datasets.check.datasets import check_config, quick_check
from fastvit_dense.errors import DataError
from tests.datasets.conftest import write_noise
from tests.facts import assert_names, raises_naming


def only_error(tree):
    (message,) = check_config(tree.config()).errors
    return message


def test_images_missing_on_disk(coco_tree):
    coco_tree.images[1].unlink()
    quick = quick_check(coco_tree.config(), 'train_dataloader')  # training skips a few
    assert len(quick.warnings) == 1
    facts = [coco_tree.images[1], 'id 8', coco_tree.ann_file, 'no such file']
    with raises_naming(DataError, *facts):
        quick_check(coco_tree.config('val'), 'val_dataloader')
    assert_names(only_error(coco_tree), *facts)


def test_many_images_missing_stop_training(coco_tree):
    coco_tree.content['images'] += [
        {**coco_tree.content['images'][0], 'id': 100 + k, 'file_name': f'far/{k}.jpg'}
        for k in range(11)
    ]
    coco_tree.write()
    with raises_naming(DataError, 'train_dataloader', 11, 'far/0.jpg', 'far/9.jpg', 1, 'more'):
        quick_check(coco_tree.config(), 'train_dataloader')


def test_broken_images_are_found_by_reading_them(coco_tree):
    coco_tree.images[0].write_bytes(b'')
    coco_tree.images[1].write_bytes(coco_tree.images[1].read_bytes()[:700])
    coco_tree.content['images'][2]['width'] = 33
    coco_tree.content['images'].append({'id': 10, 'file_name': '3.jpg', 'height': 40, 'width': 60})
    write_noise(coco_tree.root / 'images/3.jpg', (40, 60))
    coco_tree.write()
    assert quick_check(coco_tree.config(), 'train_dataloader').errors == []
    errors = sorted(check_config(coco_tree.config()).errors)
    assert len(errors) == 3
    assert '0.jpg: expected an image, found an empty file (0 bytes)' in errors[0]
    assert '1.jpg: expected a whole JPEG file, found it truncated after 700 bytes' in errors[1]
    assert '2.jpg: expected 33x64 pixels' in errors[2]


def test_pictures_of_another_size_are_told_as_such(coco_tree):
    for image in coco_tree.content['images']:
        image.update(width=70, height=70)
    coco_tree.write()
    for read_files in (True, False):
        report = check_config(coco_tree.config(), read_files=read_files)
        assert {finding.kind for finding in report.of('train').findings} == {'image_size'}
        assert len(report.errors) == 3


def test_a_link_that_leads_nowhere_is_no_picture(coco_tree):
    coco_tree.images[1].unlink()
    coco_tree.images[1].symlink_to(coco_tree.root / 'nowhere.jpg')
    assert_names(only_error(coco_tree), coco_tree.images[1], 'no such file')


@pytest.mark.parametrize(
    ('name', 'advice'),
    [
        ('0.JPG', 'as the file is named'),
        ('0.png', 'as the file is named'),
        ('0', 'as the file is named'),
        ('0.jpg ', 'as the file is named'),
        ('images/0.jpg', 'data_prefix.img'),
        ('images\\0.jpg', 'data_prefix.img'),
        ('C:\\pictures\\0.jpg', 'data_prefix.img'),
    ],
)
def test_a_file_that_is_near_a_missing_one_is_named(coco_tree, name, advice):
    coco_tree.content['images'][0]['file_name'] = name
    coco_tree.write()
    message = only_error(coco_tree)
    assert_names(message, 'id 7', 'no such file', coco_tree.images[0], advice)


def test_no_readable_picture_at_all_stops_before_training(coco_tree):
    for path in coco_tree.images:
        path.write_bytes(b'GIF')
    with raises_naming(DataError, 'none of 3 pictures can be read', coco_tree.images[0]):
        quick_check(coco_tree.config(), 'train_dataloader')


def test_names_that_lead_out_of_the_folder(coco_tree):
    """Absolute names are a habit and are read; the check tells of them, and how many."""
    coco_tree.content['images'][0]['file_name'] = str(coco_tree.images[0])
    coco_tree.content['images'][1]['file_name'] = '../annotations/../images/1.jpg'
    coco_tree.content['images'][2]['file_name'] = '../../etc/x.jpg'
    coco_tree.write()
    report = check_config(coco_tree.config(), read_files=False)
    told = [message for message in report.warnings if 'lead out of' in message]
    assert len(told) == 1
    assert '1 of 3 file names' in told[0]


@pytest.mark.parametrize('name', ['/dev/zero', '.', 'x' * 300 + '.jpg', 'a\0b.jpg', '\ud800.jpg'])
def test_names_of_what_is_no_picture(coco_tree, name):
    coco_tree.content['images'][0]['file_name'] = name
    coco_tree.write()
    report = check_config(coco_tree.config())
    assert len(report.errors) == 1, report.errors


@pytest.mark.parametrize('loader', ['train', 'val'])
def test_pictures_that_are_turned_are_told_before_training(coco_tree, loader):
    exif = Image.Exif()
    exif[0x0112] = 6
    for path in coco_tree.images[1:]:
        with Image.open(path) as image:
            image.load()
            image.save(path, exif=exif)
    facts = [coco_tree.images[1], 'found', '33x47', 'EXIF orientation, 6']
    if loader == 'val':
        with raises_naming(DataError, *facts):
            quick_check(coco_tree.config(loader), f'{loader}_dataloader')
    else:  # training skips a few
        report = quick_check(coco_tree.config(loader), f'{loader}_dataloader')
        assert_names('; '.join(report.warnings), *facts)


def test_no_picture_of_the_training_is_there(coco_tree):
    for path in coco_tree.images:
        path.unlink()
    with raises_naming(DataError, 'train_dataloader', coco_tree.images[0], 'no such file'):
        quick_check(coco_tree.config(), 'train_dataloader')
