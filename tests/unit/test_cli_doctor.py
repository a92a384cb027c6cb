import datetime as dt
import json
import socket

import pytest

from concura.adapters import certificates
from concura.adapters.folders import claim
from concura.adapters.keys_file import FileKeyStore
from concura.cli import main

NOW = dt.datetime.now(dt.UTC)  # noqa: TID251 - the doctor looks at the real clock


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A node's folder with real keys and certificates, made once; tests look, and put back."""
    place = claim(tmp_path_factory.mktemp("doctor") / "node", "node").path
    FileKeyStore.create(place / "keys")
    certificates.create_authority(place / "tls", "hospital-a", now=NOW)
    certificates.issue(place / "tls", names=["localhost"], now=NOW)
    return place


def examine(capsys, *words):
    code = main(["doctor", *map(str, words), "--json"])
    return code, json.loads(capsys.readouterr().out)["findings"]


def of(findings, check):
    return [found for found in findings if found["check"] == check]


def test_a_healthy_machine_and_folder_are_found_well(capsys, made):
    code, findings = examine(capsys, made)
    assert code == 0, findings
    assert {found["check"] for found in findings if found["state"] == "good"} >= {
        "python",
        "packages",
        "clock",
        "port",
        "folder",
        "space",
        "keys",
        "certificate",
    }
    assert of(findings, "keys")[0]["message"].startswith("6 private keys")


def test_it_says_the_same_in_chinese(capsys, made):
    assert main(["doctor", str(made), "--lang", "zh"]) == 0
    out = capsys.readouterr().out
    assert "个私钥仅所有者可读" in out
    assert out.endswith("没有问题。\n")


def test_a_key_that_others_can_read_is_named(capsys, made):
    (made / "keys" / "sign.pem").chmod(0o644)
    code, findings = examine(capsys, made)
    (made / "keys" / "sign.pem").chmod(0o600)
    assert code == 1
    (found,) = of(findings, "keys")
    assert found["message"].endswith("keys/sign.pem")
    assert "chmod 600" in found["hint"]


@pytest.mark.parametrize(("age_days", "state"), [(397 - 20, "warn"), (500, "bad"), (-3, "bad")])
def test_a_certificate_near_its_end_or_beyond_is_named(capsys, tmp_path, age_days, state):
    place = claim(tmp_path / "node", "node").path
    made_at = NOW - dt.timedelta(days=age_days)
    certificates.create_authority(place / "tls", "hospital-a", now=NOW)
    certificates.issue(place / "tls", names=["localhost"], now=made_at)
    code, findings = examine(capsys, place)
    assert code == (0 if state == "warn" else 1)
    (found,) = [one for one in of(findings, "certificate") if one["state"] != "good"]
    assert found["state"] == state
    assert found["hint"]


def test_a_port_in_use_is_named(capsys, monkeypatch):
    with socket.create_server(("127.0.0.1", 0)) as listener:
        monkeypatch.setenv("CONCURA_PORT", str(listener.getsockname()[1]))
        code, findings = examine(capsys)
    assert code == 1
    assert str(listener) is not None
    assert of(findings, "port")[0]["state"] == "bad"


def test_a_wrong_setting_is_named(capsys, monkeypatch):
    monkeypatch.setenv("CONCURA_LOG_KEEP", "0")
    code, findings = examine(capsys)
    assert code == 1
    assert "CONCURA_LOG_KEEP" in of(findings, "settings")[0]["message"]


def test_a_misspelt_variable_is_noticed(capsys, monkeypatch):
    monkeypatch.setenv("CONCURA_LOGLEVEL", "debug")
    code, findings = examine(capsys)
    assert code == 0
    # The tests' own variables may resemble a setting too.
    assert any("CONCURA_LOG_LEVEL" in found["hint"] for found in of(findings, "variables"))


def test_a_folder_that_is_none_of_ours_is_named(capsys, tmp_path):
    code, findings = examine(capsys, tmp_path)
    assert code == 1
    assert of(findings, "folder")[0]["state"] == "bad"


def test_what_a_killed_process_left_behind_is_noticed(capsys, tmp_path):
    place = claim(tmp_path / "node", "node").path
    (place / "run.json").write_text('{"pid": 1, "started": "long ago", "port": 1}')
    _, findings = examine(capsys, place)
    assert str(place) in of(findings, "remains")[0]["message"]
