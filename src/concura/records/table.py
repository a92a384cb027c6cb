"""Reading a hospital's table, strictly, as its mapping says.

Every line is checked: number of columns, numbers that are numbers, known categories, plausible
range. What is wrong is named by file, line and column; the patient's value is not repeated.

This module does NOT open files (see `adapters.table_files`) and does NOT guess: neither the
delimiter, nor units, nor what an odd value may have meant.
"""

import csv
import re
from collections import Counter
from collections.abc import Iterator, Sequence
from collections.abc import Mapping as MappingOf
from dataclasses import dataclass

from concura.errors import DataFileInvalid
from concura.limits import TABLE_LINE_MAX_CHARS, TABLE_ROWS_MAX
from concura.records.mapping import Column, Mapping

__all__ = ["Row", "count_missing", "parse_table"]

Value = float | str | None
# Python's float() also takes nan, inf, 1_000 and other scripts' digits; a table may not.
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]{1,3})?", re.ASCII)

_NUMBER_MAX = 1e9


@dataclass(frozen=True, slots=True)
class Row:
    """One patient's row.

    `values` holds a number, a category's value, a FHIR gender, or None for missing, by column name;
    `implausible` names the columns whose number was outside its plausible range and so set to None.
    """

    number: int
    hospital: str
    values: MappingOf[str, Value]
    implausible: tuple[str, ...] = ()


def parse_table(text: str, mapping: Mapping, *, file: str) -> list[Row]:
    """Read a table.

    Args:
        text: the whole file, decoded.
        mapping: what its columns mean.
        file: its name, for errors.

    Returns:
        One row per patient, in the file's order.

    Raises:
        DataFileInvalid: the file is empty, a line has too few or too many columns, a number is no
            number, a category is unknown, a record number stands twice, or a limit is passed.

    Example:
        >>> parse_table(text, mapping, file="whas500.csv")[0].number  # doctest: +SKIP
        1
    """
    lines = _lines(text, mapping, file)
    order = mapping.columns
    if mapping.header:
        number, cells = next(lines, (1, []))
        order = _by_header(cells, mapping, file, number)
    rows: list[Row] = []
    seen: set[tuple[str, int]] = set()
    for number, cells in lines:
        if len(rows) >= TABLE_ROWS_MAX:
            raise DataFileInvalid("rows", file=file, line="", limit=TABLE_ROWS_MAX)
        if len(cells) != len(order):
            raise _wrong("columns", file, number, found=len(cells), expected=len(order))
        row = _row(cells, order, _Place(file, number), mapping, len(rows) + 1)
        if (row.hospital, row.number) in seen:
            raise _wrong("record_twice", file, number)
        seen.add((row.hospital, row.number))
        rows.append(row)
    if not rows:
        raise DataFileInvalid("empty", file=file, line="")
    return rows


def count_missing(rows: Sequence[Row]) -> dict[str, int]:
    """Count the missing values of each column, the implausible ones among them.

    Example:
        >>> count_missing([Row(1, "", {"age": None})])
        {'age': 1}
    """
    counts: Counter[str] = Counter()
    for row in rows:
        for name, value in row.values.items():
            counts[name] += value is None
    return dict(counts)


@dataclass(frozen=True, slots=True)
class _Place:
    file: str
    line: int

    def wrong(self, why: str, column: Column, **values: object) -> DataFileInvalid:
        return _wrong(why, self.file, self.line, column=column.name, **values)


def _wrong(why: str, file: str, line: int, **values: object) -> DataFileInvalid:
    return DataFileInvalid(why, file=file, line=f":{line}", **values)


def _lines(text: str, mapping: Mapping, file: str) -> Iterator[tuple[int, list[str]]]:
    """Yield (line number, cells) of the lines that hold something."""
    start = 0
    number = 0
    text = text.removeprefix("\ufeff")
    while start < len(text):
        end = text.find("\n", start)
        end = len(text) if end < 0 else end
        number += 1
        # Checked before anything is split: a line of a million columns costs nothing.
        if end - start > TABLE_LINE_MAX_CHARS:
            raise _wrong("line_length", file, number, limit=TABLE_LINE_MAX_CHARS)
        line = text[start:end].rstrip("\r")
        start = end + 1
        if not line.strip() or (mapping.comment and line.startswith(mapping.comment)):
            continue
        yield number, _cells(line, mapping.delimiter, file, number)


def _cells(line: str, delimiter: str, file: str, number: int) -> list[str]:
    if '"' not in line:
        return [cell.strip() for cell in line.split(delimiter)]
    try:
        cells = next(csv.reader([line], delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise _wrong("quotes", file, number) from error
    return [cell.strip() for cell in cells]


def _by_header(
    cells: Sequence[str], mapping: Mapping, file: str, number: int
) -> tuple[Column, ...]:
    if not cells:
        raise DataFileInvalid("empty", file=file, line="")
    known = {c.name: c for c in mapping.columns}
    needed = [c.name for c in mapping.columns if c.role not in ("ignore", "record")]
    for name in needed:
        if name not in cells:
            raise _wrong("header_missing", file, number, column=name)
    for place, name in enumerate(cells, 1):
        if name not in known:
            raise _wrong("header_unknown", file, number, place=place)
        if cells.count(name) > 1:
            raise _wrong("header_twice", file, number, column=name)
    return tuple(known[name] for name in cells)


def _row(
    cells: Sequence[str], order: Sequence[Column], place: _Place, mapping: Mapping, position: int
) -> Row:
    number, hospital = position, ""
    values: dict[str, Value] = {}
    implausible: list[str] = []
    for cell, column in zip(cells, order, strict=True):
        if column.role == "record":
            number = _record(cell, column, place)
        elif column.role == "hospital":
            hospital = _hospital(cell, column, place, mapping)
        elif column.role != "ignore":
            value = _value(cell, column, place)
            if _is_implausible(value, column):
                if mapping.implausible == "error":
                    low, high = column.plausible or (0.0, 0.0)
                    raise place.wrong("implausible", column, low=f"{low:g}", high=f"{high:g}")
                implausible.append(column.name)
                value = None
            values[column.name] = value
    return Row(number, hospital, values, tuple(implausible))


def _record(cell: str, column: Column, place: _Place) -> int:
    if not (cell.isascii() and cell.isdigit() and len(cell) <= 9 and int(cell) > 0):
        raise place.wrong("record", column)
    return int(cell)


def _hospital(cell: str, column: Column, place: _Place, mapping: Mapping) -> str:
    if all(cell != h.id for h in mapping.hospitals):
        raise place.wrong("hospital", column, known=", ".join(h.id for h in mapping.hospitals))
    return cell


def _value(cell: str, column: Column, place: _Place) -> Value:
    if _is_missing(cell, column):
        return None
    if column.role == "sex":
        sexes = {_plain(key): sex for key, sex in (column.values or {}).items()}
        if _plain(cell) not in sexes:
            raise place.wrong("category", column, known=", ".join(sorted(sexes)))
        return sexes[_plain(cell)]
    if column.kind == "category":
        known = {_plain(c.value): c.value for c in column.categories}
        if _plain(cell) not in known:
            raise place.wrong("category", column, known=", ".join(sorted(known)))
        return known[_plain(cell)]
    # No measurement, count or number of days is larger; 1e999 would be read as infinite.
    if not _NUMBER.fullmatch(cell) or abs(float(cell)) > _NUMBER_MAX:
        raise place.wrong("number", column)
    value = float(cell)
    if column.kind in ("condition", "flag") and value not in (0.0, 1.0):
        raise place.wrong("category", column, known="0, 1")
    if column.role == "age" and not value.is_integer():
        raise place.wrong("whole_years", column)
    return value


def _is_missing(cell: str, column: Column) -> bool:
    return cell in column.missing or (
        bool(column.missing) and _plain(cell) in {_plain(marker) for marker in column.missing}
    )


def _plain(cell: str) -> str:
    """Write 1, 1.0 and +1 the same way, so that a marker or category fits each of them."""
    return f"{float(cell):.12g}" if _NUMBER.fullmatch(cell) else cell


def _is_implausible(value: Value, column: Column) -> bool:
    if column.plausible is None or not isinstance(value, float):
        return False
    low, high = column.plausible
    return not low <= value <= high
