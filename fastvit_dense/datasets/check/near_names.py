"""Files that a name which is not there may mean."""

import re
from pathlib import Path


class NearNames:
    """Files of a folder by their names without regard to capitals, and by their stems.

    Args:
        folder: Where file names of an annotation file start from.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.names: dict[str, str] = {}
        for entry in sorted(folder.iterdir()):
            self.names.setdefault(entry.stem.casefold(), entry.name)
            self.names[entry.name.casefold()] = entry.name

    def of(self, file_name: str) -> str:
        """Say which file there is, and how to name it; nothing where none is near.

        Args:
            file_name: As it is written: with folders, another system's separators, other capitals
                or another suffix than the file has.
        """
        last = re.split(r'[\\/]', file_name)[-1]
        stem = Path(last.strip()).stem.casefold()
        found = self.names.get(last.strip().casefold()) or self.names.get(stem)
        if not found or found == file_name:
            return ''
        if found != last:
            return f', but {self.folder / found}; write file_name as the file is named'
        advice = 'file_name starts from data_prefix.img, / parts its folders'
        return f', but {self.folder / found}; {advice}'
