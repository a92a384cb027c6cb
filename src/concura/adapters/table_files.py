"""A folder of tables, and the tables and mappings that ship with the package.

Reading is bounded before it begins: a file's size first, then UTF-8, then line by line.

This module does NOT guess a mapping from a file's content: the file's name decides. It does NOT
read anything but regular files, and no sub-folders.
"""

from collections.abc import Iterator
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass
from importlib import resources
from pathlib import Path

from concura.errors import DataFileInvalid, FolderUnusable, MappingInvalid
from concura.limits import MAPPING_MAX_BYTES, TABLE_FILE_MAX_BYTES
from concura.records import (
    FeatureSet,
    Mapping,
    Row,
    choose_mapping,
    parse_mapping,
    parse_table,
    resources_of,
)
from concura.types import JsonObject, MemberId

__all__ = [
    "TableFolder",
    "load_mapping",
    "read_folder",
    "shipped_folder",
    "shipped_mappings",
]

_MAPPINGS = ("whas500.json", "heart-disease.json")


@dataclass(frozen=True, slots=True)
class TableFolder:
    """What a folder of tables holds.

    `rows` by hospital, in the mapping's order; `files` names the file of each; `ignored` names the
    files that no pattern of the mapping fits.
    """

    mapping: Mapping
    rows: MappingOf[MemberId, tuple[Row, ...]]
    files: MappingOf[MemberId, str]
    ignored: tuple[str, ...]

    @property
    def features(self) -> FeatureSet:
        """Return the feature definitions of the folder's mapping."""
        return self.mapping.features

    def names(self, lang: str = "en") -> dict[MemberId, str]:
        """Return the hospitals' names."""
        words = "zh" if lang.lower().startswith("zh") else "en"
        return {h.id: h.name[words] for h in self.mapping.hospitals if h.id in self.rows}

    def patients(self) -> dict[MemberId, int]:
        """Return the number of patients of each hospital."""
        return {hospital: len(rows) for hospital, rows in self.rows.items()}

    def resources(self, hospital: MemberId) -> Iterator[list[JsonObject]]:
        """Yield the FHIR resources of each of a hospital's patients, the Patient first.

        Raises:
            KeyError: the folder has no table of this hospital.
        """
        home = next(h for h in self.mapping.hospitals if h.id == hospital)
        for row in self.rows[hospital]:
            yield resources_of(row, self.mapping, hospital=home)


def read_folder(folder: Path, mapping: Mapping | None = None) -> TableFolder:
    """Read one table per hospital.

    Args:
        folder: where the files are; sub-folders and hidden files are left alone.
        mapping: which mapping; None chooses among the shipped ones by the files' names.

    Returns:
        The rows and the names of the files that were left out.

    Raises:
        FolderUnusable: no folder, not readable, or nothing in it.
        DataFileInvalid: a file is too large, not UTF-8, or not what the mapping says.
        MappingInvalid: no mapping fits.

    Example:
        >>> read_folder(Path("heart_disease")).patients()["va"]  # doctest: +SKIP
        200
    """
    names = _file_names(folder)
    mapping = mapping or choose_mapping(names, shipped_mappings())
    texts = {
        name: _read(folder / name, TABLE_FILE_MAX_BYTES)
        for name in names
        if mapping.hospital_of(name)
    }
    if not texts:
        raise MappingInvalid(
            "none_fits", patterns=", ".join(sorted({h.files for h in mapping.hospitals}))
        )
    return _sort(mapping, texts, tuple(n for n in names if n not in texts))


def shipped_folder() -> TableFolder:
    """Return the data that ship with the package: WHAS500, dealt to four invented hospitals."""
    name = "whas500.csv"
    text = (resources.files("concura.data") / "tables" / name).read_text(encoding="utf-8")
    return _sort(shipped_mappings()[0], {name: text}, ())


def shipped_mappings() -> tuple[Mapping, ...]:
    """Return the mappings that ship with the package, the default one first."""
    home = resources.files("concura.data") / "mappings"
    return tuple(parse_mapping((home / name).read_bytes()) for name in _MAPPINGS)


def load_mapping(path: Path) -> Mapping:
    """Read a mapping of one's own.

    Raises:
        DataFileInvalid: the file cannot be read or is too large.
        MappingInvalid: it is no mapping.
    """
    return parse_mapping(_read(path, MAPPING_MAX_BYTES).encode("utf-8"))


def _file_names(folder: Path) -> list[str]:
    try:
        if not folder.is_dir():
            raise FolderUnusable("data_missing", folder=str(folder))
        names = sorted(
            entry.name
            for entry in folder.iterdir()
            if entry.is_file() and not entry.name.startswith(".")
        )
    except OSError as error:
        raise FolderUnusable("data_unreadable", folder=str(folder)) from error
    if not names:
        raise FolderUnusable("data_empty", folder=str(folder))
    return names


def _read(path: Path, limit: int) -> str:
    try:
        with path.open("rb") as file:
            # One byte more than allowed tells a file that grows from one that fits.
            data = file.read(limit + 1)
    except OSError as error:
        raise DataFileInvalid("unreadable", file=path.name, line="") from error
    if len(data) > limit:
        raise DataFileInvalid("size", file=path.name, line="", limit=limit)
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise DataFileInvalid("utf8", file=path.name, line=f":{line}") from error


def _sort(mapping: Mapping, texts: MappingOf[str, str], ignored: tuple[str, ...]) -> TableFolder:
    """Give each hospital its rows: by its file, or by the column that names it."""
    tables = {name: parse_table(text, mapping, file=name) for name, text in texts.items()}
    by_column = mapping.column("hospital") is not None
    rows: dict[MemberId, tuple[Row, ...]] = {}
    files: dict[MemberId, str] = {}
    for hospital in mapping.hospitals:
        fitting = [n for n in tables if hospital in mapping.hospital_of(n)]
        if len(fitting) > 1:
            raise DataFileInvalid("two_files", file=fitting[1], line="", hospital=hospital.id)
        own = tuple(
            row
            for n in fitting
            for row in tables[n]
            if not by_column or row.hospital == hospital.id
        )
        if own:
            rows[hospital.id], files[hospital.id] = own, fitting[0]
    return TableFolder(mapping, rows, files, ignored)
