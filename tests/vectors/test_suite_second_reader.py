"""A reader that shares no code with the package comes to the same result for every vector."""

import runpy
from pathlib import Path

import pytest

HERE = Path(__file__).parent
VECTORS = sorted((HERE / "envelope").glob("*.txt"))
READER = runpy.run_path(str(HERE.parent / "independent_reader.py"))


@pytest.mark.parametrize("path", VECTORS, ids=[path.stem for path in VECTORS])
def test_the_second_reader_opens_or_refuses_a_vector_at_the_stated_step(path):
    said, found = READER["vector"](path)

    if said["expect"] == "opened":
        assert found[0] == "application/fhir+json"
        assert "王小明" in found[1].decode()
    else:
        assert found == int(said["step"])


def test_the_second_reader_imports_nothing_of_the_package():
    text = (HERE.parent / "independent_reader.py").read_text("utf-8")

    assert "import concura" not in text
    assert "from concura" not in text
