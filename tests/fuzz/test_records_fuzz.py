"""The fuzz entry of tables and mappings runs, and its invariant holds for a moment's worth."""

import runpy
from pathlib import Path


def test_the_invariant_of_the_table_reader_holds_for_random_changes():
    entry = runpy.run_path(str(Path(__file__).parent / "fuzz_records_tables.py"))
    assert entry["main"](0.5, seed=7) > 10
