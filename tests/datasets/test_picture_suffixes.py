from fastvit_dense.datasets.picture_suffixes import unused_pictures


def test_unused_pictures_are_counted_by_suffix(tmp_path):
    names = ['a.jpg', 'b.JPG', 'c.JPG', 'd.heic', 'notes.txt', *(f'{k}.gif' for k in range(5))]
    for name in names:
        (tmp_path / name).touch()
    files = list(tmp_path.iterdir())
    assert unused_pictures(files, [tmp_path / 'a.jpg']) == (
        '8 pictures are not used: 5 *.gif (0.gif, 1.gif, 2.gif, ...); 2 *.JPG (b.JPG, c.JPG); '
        '1 *.heic (d.heic)'
    )
    assert unused_pictures(files, [path for path in files if path.suffix != '.txt']) is None
