"""Members by their id: keys come from the ledger as a node verified it, running or stopped."""

import json

import pytest

from concura.cli import main

TEXT = b"thorax, two planes"


@pytest.fixture(scope="module")
def town(tmp_path_factory):
    folder = tmp_path_factory.mktemp("town") / "consortium"
    assert main(["up", str(folder), "--hospitals", "2", "--difficulty", "1"]) == 0
    yield folder
    assert main(["down", str(folder)]) == 0


def test_a_member_is_sealed_to_by_its_id_while_its_node_runs(town, tmp_path, capsys):
    plain, sealed, back = tmp_path / "p", tmp_path / "s", tmp_path / "back"
    plain.write_bytes(TEXT)
    a, b = str(town / "hospital-a"), str(town / "hospital-b")

    made = main(["seal", str(plain), "--to", "hospital-b", "--consortium", str(town),
                 "--from", a, "-o", str(sealed)])  # fmt: skip
    capsys.readouterr()
    opened = main(["open", str(sealed), "--key", b, "--consortium", b, "-o", str(back), "--json"])

    assert (made, opened) == (0, 0)
    assert back.read_bytes() == TEXT
    assert json.loads(capsys.readouterr().out)["sender"]["name"].endswith("(hospital-a)")


def test_a_card_names_reader_and_sender(town, tmp_path):
    plain, sealed, back = tmp_path / "p", tmp_path / "s", tmp_path / "back"
    plain.write_bytes(TEXT)
    a, b = town / "hospital-a", town / "hospital-b"

    made = main(["seal", str(plain), "--to", str(b / "card.json"), "--from", str(a),
                 "-o", str(sealed)])  # fmt: skip
    opened = main(["open", str(sealed), "--key", str(b), "--trust", str(a / "card.json"),
                   "-o", str(back)])  # fmt: skip

    assert (made, opened) == (0, 0)


def test_whom_the_ledger_does_not_know_is_not_sealed_to(town, tmp_path):
    plain = tmp_path / "p"
    plain.write_bytes(TEXT)

    code = main(["seal", str(plain), "--to", "hospital-z", "--consortium", str(town),
                 "--from", str(town / "hospital-a")])  # fmt: skip

    assert code == 24
    assert list(tmp_path.iterdir()) == [plain]


def test_a_stopped_node_still_knows_what_it_verified(town, tmp_path, capsys):
    plain, sealed = tmp_path / "p", tmp_path / "s"
    plain.write_bytes(TEXT)
    assert main(["down", str(town)]) == 0
    a = str(town / "hospital-a")

    made = main(["seal", str(plain), "--to", "hospital-b", "--consortium", a, "--from", a,
                 "-o", str(sealed)])  # fmt: skip
    capsys.readouterr()
    shown = main(["inspect", str(sealed), "--consortium", str(town), "--json"])

    assert (made, shown) == (0, 0)
    assert json.loads(capsys.readouterr().out)["readers"][0]["name"].endswith("(hospital-b)")
    assert main(["inspect", str(sealed), "--consortium", str(tmp_path)]) == 12
