"""The guards that every test stands on do guard."""

import os
import shutil
import signal
import socket
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parent.parent.parent


def run_tests(folder: Path, code: str, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run one test file beside a copy of our conftest; return what pytest said."""
    shutil.copy(ROOT / "tests" / "conftest.py", folder)
    (folder / "test_inner.py").write_text(code, "utf-8")
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("CONCURA_", "COV"))
    }
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", str(folder)],
        capture_output=True, text=True, check=False, cwd=folder, env=kept | environment, timeout=60,
    )  # fmt: skip


def test_a_test_that_reaches_beyond_this_machine_fails() -> None:
    # 192.0.2.0/24 is for documentation (RFC 5737): nothing answers there.
    with pytest.raises(Exception, match=r"192\.0\.2\.1"), socket.socket() as outward:
        outward.connect(("192.0.2.1", 80))
    with pytest.raises(Exception, match=r"example\.org"):
        socket.getaddrinfo("example.org", 443)


def test_a_name_that_never_resolves_fails_as_a_name_does() -> None:
    with pytest.raises(socket.gaierror):
        socket.getaddrinfo("hub.invalid", 443)


def test_loopback_stays_within_reach() -> None:
    with (
        socket.create_server(("127.0.0.1", 0)) as server,
        socket.create_connection(server.getsockname()[:2]) as near,
    ):
        assert near.getpeername() == server.getsockname()


@pytest.mark.skipif(sys.platform != "linux", reason="platform: looks into /proc")
def test_a_process_left_behind_fails_the_run(tmp_path: Path) -> None:
    code = (
        "import subprocess, sys\n"
        "def test_leaves_a_process_behind():\n"
        "    hold = 'import signal; signal.pause()'\n"
        "    child = subprocess.Popen([sys.executable, '-c', hold], start_new_session=True,\n"
        "        stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)\n"
        "    open('pid', 'w').write(str(child.pid))\n"
        "    child.returncode = 0\n"
    )

    answer = run_tests(tmp_path, code)

    os.kill(int((tmp_path / "pid").read_text()), signal.SIGKILL)
    assert answer.returncode == 1
    assert "Processes left behind" in answer.stdout
    assert (tmp_path / "pid").read_text() in answer.stdout


def test_a_skip_that_could_be_installed_away_fails_where_all_is_required(tmp_path: Path) -> None:
    code = (
        "import pytest\n"
        "@pytest.mark.parametrize('reason', ['needs chromium', 'data: none', 'platform: none'])\n"
        "def test_asks_for_more_than_there_is(reason):\n"
        "    pytest.skip(reason)\n"
    )

    strict = run_tests(tmp_path, code, CONCURA_REQUIRE_ALL="1")
    lenient = run_tests(tmp_path, code)

    assert "1 failed, 2 skipped" in strict.stdout
    assert "CONCURA_REQUIRE_ALL=1, but: Skipped: needs chromium" in strict.stdout
    assert "3 skipped" in lenient.stdout


def test_setup_says_what_to_do_where_no_python_starts(tmp_path: Path) -> None:
    for tool in ("dirname", "cat", "cksum", "sh"):
        (tmp_path / tool).symlink_to(str(shutil.which(tool)))
    broken = tmp_path / "python3"
    broken.write_text("#!/bin/sh\nexit 127\n", "utf-8")
    broken.chmod(0o755)

    answer = subprocess.run(
        [str(ROOT / "deploy" / "setup.sh"), "core"],
        capture_output=True, text=True, check=False, env={"PATH": str(tmp_path)}, timeout=20,
    )  # fmt: skip

    assert answer.returncode == 1
    assert "Python 3.11" in answer.stderr
    assert "PYTHON=" in answer.stderr
