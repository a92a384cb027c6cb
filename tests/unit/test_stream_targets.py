"""Targets appear whole or not at all; what is missing or in the way is said by name."""

import io
import os

import pytest

from concura.adapters.targets import new_file, open_input, spool
from concura.cli import passage
from concura.cli.output import Output
from concura.errors import FileUnusable, FolderUnusable


def test_a_target_that_exists_is_replaced_only_when_asked(tmp_path):
    target = tmp_path / "t"
    target.write_bytes(b"old")
    with pytest.raises(FileUnusable) as caught, new_file(target, force=False, mode=0o600):
        pass
    assert (caught.value.why, target.read_bytes()) == ("exists", b"old")

    with new_file(target, force=True, mode=0o640) as handle:
        os.write(handle, b"new")
    assert (target.read_bytes(), target.stat().st_mode & 0o777) == (b"new", 0o640)


def test_a_target_that_appears_meanwhile_is_not_replaced(tmp_path):
    target = tmp_path / "t"

    def race():
        with new_file(target, force=False, mode=0o600) as handle:
            os.write(handle, b"ours")
            target.write_bytes(b"theirs")

    with pytest.raises(FileUnusable) as caught:
        race()
    assert (caught.value.why, target.read_bytes()) == ("exists", b"theirs")


def test_without_unnamed_files_a_target_still_appears_whole_or_not_at_all(tmp_path, monkeypatch):
    monkeypatch.delattr(os, "O_TMPFILE", raising=False)
    target = tmp_path / "t"
    with new_file(target, force=False, mode=0o600) as handle:
        os.write(handle, b"one")
        assert not target.exists()
    assert target.read_bytes() == b"one"
    with new_file(target, force=True, mode=0o600) as handle:
        os.write(handle, b"two")
    assert target.read_bytes() == b"two"

    def fail():
        with new_file(target, force=True, mode=0o600):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    assert (target.read_bytes(), len(list(tmp_path.iterdir()))) == (b"two", 1)


def test_folders_and_missing_places_are_said_by_name(tmp_path):
    with pytest.raises(FileUnusable) as caught, open_input(tmp_path / "none"):
        pass
    assert caught.value.why == "missing"
    with pytest.raises(FileUnusable) as caught, open_input(tmp_path):
        pass
    assert caught.value.why == "folder"
    with pytest.raises(FileUnusable) as caught, new_file(tmp_path, force=True, mode=0o600):
        pass
    assert caught.value.why == "folder"
    with pytest.raises(FolderUnusable), new_file(tmp_path / "no" / "t", force=False, mode=0o600):
        pass


def test_a_spool_has_no_name():
    with spool() as handle:
        assert os.fstat(handle).st_nlink == 0


# Progress -------------------------------------------------------------------------------------


def shown(monkeypatch, patience_s, total):
    monkeypatch.setattr(passage, "_PATIENCE_S", patience_s)
    out = io.StringIO()
    with passage.late_progress(Output("en", stdout=out, stderr=out), "sealing", total) as advance:
        for _ in range(8):
            advance(1024 * 1024)
    return out.getvalue()


def test_progress_shows_only_what_takes_long(monkeypatch):
    assert shown(monkeypatch, 60.0, 8 * 1024 * 1024) == ""
    assert shown(monkeypatch, 0.0, 8 * 1024 * 1024).splitlines()[-1] == "sealing 8/8"
    assert shown(monkeypatch, 0.0, None) == ""
