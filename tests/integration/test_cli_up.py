"""A consortium that stays up: real hub, real nodes, real signals. The tests run in their order."""

import json
import os
import signal
import socket

import pytest

from concura.adapters.locks import Lock, is_alive
from concura.adapters.running import read_run
from concura.cli import main

MEMBERS = ("hub", "hospital-a", "hospital-b")


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("up") / "consortium"
    words = ["--names", "St. Mary,协和医院", "--difficulty", "4"]
    assert main(["up", str(folder), *words]) == 0
    yield folder
    assert main(["down", str(folder)]) == 0


def runs(place):
    return {member: read_run(place / member) for member in MEMBERS}


def status(place, capsys):
    capsys.readouterr()
    code = main(["status", str(place), "--json"])
    return code, {one["id"]: one for one in json.loads(capsys.readouterr().out)["processes"]}


def kill(found):
    os.kill(found.pid, signal.SIGKILL)
    os.waitid(os.P_PID, found.pid, os.WEXITED | os.WNOWAIT)  # `up` ran in this process
    assert not is_alive(found.pid, found.started)


def test_everything_runs_and_answers(place, capsys):
    code, found = status(place, capsys)
    assert code == 0
    assert all(one["running"] and one["answers"] for one in found.values())
    assert found["hospital-b"]["name"] == "协和医院"
    assert found["hospital-a"]["members"] == ["hospital-a", "hospital-b"]


def test_up_again_leaves_what_runs_alone(place, capsys):
    before = runs(place)
    assert main(["up", str(place), "--lang", "zh"]) == 0
    assert runs(place) == before
    assert capsys.readouterr().out.count("已在运行") == 3


def test_what_was_killed_comes_back_on_the_same_port(place, capsys):
    before = runs(place)
    kill(before["hub"])
    kill(before["hospital-a"])
    code, found = status(place, capsys)
    assert code == 15
    assert [one["running"] for one in found.values()] == [False, False, True]
    assert main(["up", str(place)]) == 0
    after = runs(place)
    assert after["hub"].port == before["hub"].port
    assert after["hub"].pid != before["hub"].pid
    assert after["hospital-b"] == before["hospital-b"]
    assert status(place, capsys)[0] == 0


def test_two_at_once_are_kept_apart(place, capsys):
    with Lock(place):
        assert main(["up", str(place)]) == 14
        assert main(["down", str(place)]) == 14
    assert str(os.getpid()) in capsys.readouterr().err


def test_logs_are_lines_of_json_in_one_folder(place):
    for member in MEMBERS:
        lines = (place / "logs" / f"{member}.jsonl").read_text("ascii").splitlines()
        assert lines
        assert all({"time", "level", "part", "event"} <= set(json.loads(line)) for line in lines)


def test_down_stops_everything_and_clears_away(place, capsys):
    before = runs(place)
    assert main(["down", str(place)]) == 0
    assert capsys.readouterr().out.splitlines() == [
        "hub stopped.",
        "St. Mary stopped.",
        "协和医院 stopped.",
    ]
    assert not any(is_alive(found.pid, found.started) for found in before.values())
    assert not list(place.glob("*/run.json"))
    assert main(["down", str(place)]) == 0


def test_a_port_in_use_is_named_and_nothing_is_left_running(place, capsys):
    port = int((place / "hub" / "concura.toml").read_text().split("port = ")[1])
    with socket.create_server(("127.0.0.1", port)):
        assert main(["up", str(place)]) == 11
    assert f"Port {port} on 127.0.0.1" in capsys.readouterr().err
    assert set(runs(place).values()) == {None}


def test_a_tampered_invitation_stops_the_start_with_its_own_words(place):
    main(["down", str(place)])  # whatever the tests before left running
    path = place / "hub" / "invitation.json"
    whole = path.read_bytes()
    path.write_bytes(whole.replace(b'"genesis":"', b'"genesis":"AA', 1))
    code = main(["up", str(place)])
    path.write_bytes(whole)
    assert code == 16
    assert set(runs(place).values()) == {None}


def test_when_a_node_cannot_start_the_hub_is_stopped_too(place, capsys):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        (place / "hospital-b" / "concura.toml").write_text(
            f"node_port = {taken.getsockname()[1]}\n"
        )
        assert main(["up", str(place)]) == 11
    assert set(runs(place).values()) == {None}
