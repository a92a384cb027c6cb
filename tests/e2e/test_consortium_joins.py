"""A consortium takes in a late hospital by two commands and a quorum, and refuses what is false.

The tests run in their order, on one consortium of two hospitals.
"""

import datetime as dt
import json
import shutil
import threading
import time

import pytest

from concura.adapters.certificates import issue
from concura.adapters.processes import Children, wait_ready
from concura.adapters.running import read_run
from concura.canonical import decode, encode
from concura.cli import main
from concura.cli.node import ask
from concura.errors import ConcuraError
from concura.hospital import read_invitation

pytestmark = pytest.mark.slow

PAUSE = threading.Event()  # never set: what is waited for happens in other processes

LATE = "hospital-z"
WAIT_S = 20.0
NOW = dt.datetime.fromtimestamp(int(time.time()), dt.UTC)
LONG_AGO = NOW - dt.timedelta(days=800)


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    folder = tmp_path_factory.mktemp("joins") / "consortium"
    assert main(["up", str(folder), "--hospitals", "2", "--difficulty", "4"]) == 0
    yield folder
    assert main(["down", str(folder)]) == 0


@pytest.fixture(scope="module")
def late(place):
    """The late hospital's folder, on a machine of its own."""
    folder = place.parent / "late"
    words = ["node", "init", str(folder), "--member", LATE, "--name", "Späte Klinik 晚到医院"]
    assert main(words) == 0
    return folder


@pytest.fixture(scope="module")
def family():
    with Children() as children:
        yield children


def said(capsys, *words):
    capsys.readouterr()
    code = main(list(words))
    out, err = capsys.readouterr()
    assert "Traceback" not in out + err
    if code:
        assert len(err.splitlines()) == 2, err
    return code, out, err


def invitation_of(place):
    return place / "hub" / "invitation.json"


def until(is_so):
    end = time.monotonic() + WAIT_S
    while not is_so():
        assert time.monotonic() < end
        PAUSE.wait(0.05)  # what is waited for happens in other processes


def refused(place, *words):
    with pytest.raises(ConcuraError) as caught:
        ask(place, *words)
    assert caught.value.message("zh") != caught.value.message("en")
    return caught.value


@pytest.mark.parametrize("lang", ["en", "zh"])
def test_other_words_than_those_on_the_telephone_are_refused(place, late, capsys, lang):
    words = "babab " * 8
    line = ["node", "join", str(late), "--invitation", str(invitation_of(place)), "--lang", lang]
    code, _, err = said(capsys, *line, "--words", words)
    assert code == 16
    assert ("电话" if lang == "zh" else "telephone") in err
    assert not (late / "invitation.json").exists()


def tamper(found, how):
    if how == "genesis":
        found["genesis"] = found["genesis"][:200] + "A" + found["genesis"][201:]
    elif how == "words":
        found["words"] = " ".join(reversed(found["words"].split()))
    elif how == "authority":
        found["authority"] = found["authority"][:-8] + "AAAAAAAA"
    elif how == "member":
        found["extra"] = 1
    elif how == "version":
        found["v"] = 2
    elif how == "url":
        found["url"] = 7
    else:
        del found[how.removeprefix("no-")]
    return found


TAMPERS = ["genesis", "words", "authority", "member", "version", "no-url", "no-genesis", "no-words"]


@pytest.mark.parametrize("how", [*TAMPERS, "cut", "spaced", "empty", "zeros", "endless", "folder"])
def test_a_false_invitation_is_refused_before_anything_is_sent(place, late, tmp_path, capsys, how):
    whole = invitation_of(place).read_bytes().rstrip(b"\n")
    false = tmp_path / "invitation.json"
    if how in TAMPERS:
        false.write_bytes(encode(tamper(decode(whole), how)))
    elif how == "folder":
        false.mkdir()
    elif how != "endless":
        contents = {"cut": whole[:-10], "spaced": json.dumps(json.loads(whole)).encode()}
        false.write_bytes(contents.get(how, b"" if how == "empty" else bytes(500)))
    path = "/dev/zero" if how == "endless" else str(false)
    code, _, err = said(capsys, "node", "join", str(late), "--invitation", path, "--lang", "en")
    assert code == 16, err
    assert not (late / "invitation.json").exists()


def test_an_invitation_to_an_address_where_no_hub_is_says_so(place, late, tmp_path, capsys):
    found = decode(invitation_of(place).read_bytes().rstrip(b"\n"))
    found["url"] = "https://127.0.0.1:1"
    (tmp_path / "i.json").write_bytes(encode(found))
    code, _, _ = said(capsys, "node", "join", str(late), "--invitation", str(tmp_path / "i.json"))
    assert code == 40
    assert not (late / "invitation.json").exists()


def test_the_right_words_apply(place, late, capsys):
    words = read_invitation(invitation_of(place).read_bytes()).words
    line = ["node", "join", str(late), "--invitation", str(invitation_of(place)), "--words", words]
    code, out, _ = said(capsys, *line, "--json")
    assert code == 0
    assert json.loads(out) == {"member": LATE, "is_founder": False, "words": words}
    assert (late / "invitation.json").exists()


def test_an_applicant_is_let_in_by_a_quorum_and_by_no_less(place, late, family, capsys):
    first, second = place / "hospital-a", place / "hospital-b"
    assert said(capsys, "node", "admit", str(first), "hospital-q")[0] == 24
    until(lambda: said(capsys, "node", "admit", str(first), LATE)[0] == 0)
    assert said(capsys, "node", "admit", str(first), LATE)[0] == 31  # one vote each
    child = family.start(["node", "serve", str(late)], name="late", log=late.parent / "late.out")
    wait_ready(child)
    assert ask(late, "GET", "/status")["is_member"] is False
    assert refused(late, "POST", "/collect", {"hospital": "nowhere"}).slug == "notfound"
    until(lambda: said(capsys, "node", "admit", str(second), LATE)[0] == 0)
    until(lambda: ask(late, "GET", "/status")["is_member"])
    until(lambda: LATE in ask(first, "GET", "/status")["members"])


def test_a_late_hospital_can_share_at_once(place, late):
    ask(late, "POST", "/collect", {"hospital": "hospital-d"})
    ask(place / "hospital-a", "POST", "/collect", {"hospital": "hospital-a"})
    body = {"number": "A-0001", "reader": LATE, "purpose": "treatment"}
    ask(place / "hospital-a", "POST", "/consents", body)
    system = "https://concura.example/hospital-a/record-number"
    wish = {"holder": "hospital-a", "system": system, "value": "A-0001", "purpose": "treatment"}
    transfer = ask(late, "POST", "/transfers", wish)["transfer"]
    found = ask(late, "GET", f"/transfers/{transfer}?wait=30")
    assert found["status"] == "acknowledged"
    assert found["arrived"]["resources"] > 5


def test_an_unknown_hospital_is_named_as_such(place):
    node = place / "hospital-a"
    wish = {"holder": "hospital-q", "system": "s", "value": "v", "purpose": "treatment"}
    assert refused(node, "POST", "/transfers", wish).slug == "member"
    assert refused(node, "POST", "/transfers", {**wish, "holder": "hospital-a"}).slug == "entry"
    purpose = {**wish, "holder": "hospital-b", "purpose": "curiosity"}
    assert refused(node, "POST", "/transfers", purpose).slug in {"entry", "usage"}
    assert refused(node, "POST", "/collect", {"hospital": "hospital-q"}).exit_code == 24
    body = {"number": "A-0001", "reader": "hospital-q", "purpose": "treatment"}
    assert refused(node, "POST", "/consents", {**body, "number": "A-9999"}).exit_code == 24
    data = {"hospital": "hospital-a", "folder": str(place / "none")}
    assert refused(node, "POST", "/collect", data).exit_code == 12


def test_a_hospital_that_is_in_cannot_join_another_consortium(place, late, tmp_path, capsys):
    copy = tmp_path / "late"
    shutil.copytree(late, copy, ignore=shutil.ignore_patterns("run.json", "lock"))
    hub = tmp_path / "hub"
    card = str(place / "hospital-a" / "card.json")
    assert said(capsys, "hub", "init", str(hub), "--name", "Other", "--founder", card)[0] == 0
    line = ["node", "join", str(copy), "--invitation", str(hub / "invitation.json")]
    assert said(capsys, *line)[0] == 12


# --- what has run out, or is of another time --------------------------------------------------------


@pytest.fixture
def stopped(place, capsys):
    assert said(capsys, "down", str(place))[0] == 0
    return place


def renew(folder, now):
    names = ["127.0.0.1", "localhost"] if folder.name == "hub" else [folder.name]
    issue(folder / "tls", names=names, now=now, server=folder.name == "hub")


@pytest.mark.parametrize("lang", ["en", "zh"])
@pytest.mark.parametrize("which", ["hub", "hospital-b"])
def test_an_expired_certificate_is_one_sentence_and_nothing_stays_running(
    stopped, capsys, which, lang
):
    renew(stopped / which, LONG_AGO)
    try:
        kind = "hub" if which == "hub" else "node"
        code, _, err = said(capsys, kind, "serve", str(stopped / which), "--lang", lang)
        assert code == 17, err
        if (lang, which) == ("en", "hospital-b"):
            code, _, err = said(capsys, "up", str(stopped), "--lang", lang)
            assert code == 17, err
        assert all(read_run(stopped / one) is None for one in ("hub", "hospital-a", "hospital-b"))
    finally:
        renew(stopped / which, NOW)


def test_a_certificate_of_the_future_is_refused_too(stopped, capsys):
    renew(stopped / "hospital-a", NOW + dt.timedelta(days=40))
    try:
        assert said(capsys, "node", "serve", str(stopped / "hospital-a"))[0] == 17
    finally:
        renew(stopped / "hospital-a", NOW)


def test_a_folder_of_another_time_stops_the_start(stopped, capsys):
    mark = stopped / "hospital-b" / "format.json"
    whole = mark.read_bytes()
    mark.write_text(json.dumps({"concura": "node", "format": 99}))
    try:
        code, _, err = said(capsys, "up", str(stopped), "--lang", "en")
    finally:
        mark.write_bytes(whole)
    assert code == 13, err
    assert read_run(stopped / "hub") is None


@pytest.mark.parametrize(
    ("path", "code"),
    [
        ("hub/keys/hub.pem", 18),
        ("hospital-a/card.json", 12),
        ("hospital-a/keys/root.key", 18),
        ("hospital-a/tls/tls.pem", 18),
    ],
)
def test_a_missing_part_is_named(stopped, capsys, path, code):
    part = stopped / path
    if not part.exists():
        part = next(p for p in sorted(part.parent.iterdir()) if p.is_file())
    # Not `up`, which would make a node that was not made.
    kind, folder = ("hub" if path.startswith("hub") else "node"), stopped / path.split("/")[0]
    words = [kind, "serve", str(folder), "--lang", "en"]
    away = part.with_name("away")
    part.rename(away)
    try:
        found, _, err = said(capsys, *words)
    finally:
        away.rename(part)
    assert found == code, err
    assert read_run(stopped / "hub") is None


def test_keys_that_others_can_read_are_refused(stopped, capsys):
    key = stopped / "hub" / "keys" / "hub.pem"
    key.chmod(0o644)
    try:
        assert said(capsys, "hub", "serve", str(stopped / "hub"))[0] == 18
    finally:
        key.chmod(0o600)


def test_after_all_this_everything_starts_again(stopped, capsys):
    code, _, err = said(capsys, "up", str(stopped))
    assert code == 0, err
    assert said(capsys, "status", str(stopped))[0] == 0
