"""Picture files of a folder, by suffix: those that are read, and those that are left."""

from collections import Counter, defaultdict
from collections.abc import Iterable
from pathlib import Path

# suffixes of files that hold pictures, whether they are read or not
PICTURE_SUFFIXES = (
    *('.jpg', '.jpeg', '.jpe', '.jfif', '.png', '.bmp', '.webp', '.tif', '.tiff', '.gif', '.tga'),
    *('.heic', '.heif', '.avif', '.jp2', '.jxl', '.ppm', '.pgm', '.pbm', '.exr', '.hdr', '.psd'),
    *('.dng', '.nef', '.cr2', '.cr3', '.arw', '.raw'),
)
EXAMPLES = 3


def unused_pictures(files: Iterable[Path], used: Iterable[Path]) -> str | None:
    """Count and name the pictures among files that are not used, by suffix; None: all are."""
    known = set(used)
    left = defaultdict(list)
    for path in sorted(files):
        if path.suffix.lower() in PICTURE_SUFFIXES and path not in known:
            left[path.suffix].append(path.name)
    if not left:
        return None
    counts = Counter({suffix: len(names) for suffix, names in left.items()})
    shown = '; '.join(
        f'{count} *{suffix} ({", ".join(left[suffix][:EXAMPLES])}'
        + (', ...)' if count > EXAMPLES else ')')
        for suffix, count in counts.most_common()
    )
    return f'{counts.total()} pictures are not used: {shown}'


def suffixes_below(folder: Path) -> str:
    """Count the files below a folder by suffix, the most common first."""
    counts = Counter(path.suffix for path in folder.rglob('*') if path.is_file())
    return ', '.join(f'{n} files *{suffix}' for suffix, n in counts.most_common(4)) or 'no files'
