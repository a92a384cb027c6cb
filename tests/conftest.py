"""What every test stands on: no network, no left-over process, no silent gap.

Skips: a reason that starts with `data:` or `platform:` is a fact of the place; every other skip
fails where CONCURA_REQUIRE_ALL=1, because what is missing could have been installed.
"""

import ipaddress
import os
import secrets
import shutil
import signal
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest

ROOT = Path(__file__).resolve().parent.parent
ALLOWED_SKIPS = ("data:", "platform:", "Skipped: data:", "Skipped: platform:")
MARK = "CONCURA_TEST_RUN"
BROWSERS = ("chromium", "chromium-browser", "google-chrome")

hypothesis.settings.register_profile(
    "quick",
    deadline=None,  # two shared cores: time says nothing here
    max_examples=50,
    print_blob=True,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.register_profile(
    "thorough", parent=hypothesis.settings.get_profile("quick"), max_examples=2_000
)
hypothesis.settings.load_profile(os.environ.get("CONCURA_HYPOTHESIS", "quick"))


def pytest_sessionstart() -> None:
    # A runner without a terminal may hand signals down as ignored; children would inherit that, and
    # Ctrl-C or a closed terminal could not be tested on them.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    signal.signal(signal.SIGHUP, signal.SIG_DFL)
    # Every process that a test starts inherits this, its children too: so each can be found again.
    os.environ[MARK] = secrets.token_hex(8)
    # A test must not read the settings of the person who runs it.
    for name in list(os.environ):
        if name.startswith("CONCURA_") and name not in {
            MARK,
            "CONCURA_DATA",
            "CONCURA_REQUIRE_ALL",
            "CONCURA_HYPOTHESIS",
        }:
            del os.environ[name]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    browser = any(shutil.which(name) for name in BROWSERS)
    for item in items:
        if item.get_closest_marker("data") and data_path() is None:
            item.add_marker(pytest.mark.skip(reason="data: CONCURA_DATA names no folder"))
        if item.get_closest_marker("browser") and not browser:
            item.add_marker(pytest.mark.skip(reason="needs chromium"))


def data_path() -> Path | None:
    folder = os.environ.get("CONCURA_DATA")
    return Path(folder) if folder and Path(folder).is_dir() else None


@pytest.fixture(scope="session")
def data_folder() -> Path:
    """The folder with the data sets that are not shipped; ask for it with the mark `data`."""
    folder = data_path()
    if folder is None:
        pytest.skip("data: CONCURA_DATA names no folder")
    return folder


@pytest.fixture(scope="session")
def browser() -> str:
    """The path of a headless-capable browser; ask for it with the mark `browser`."""
    found = next((path for path in map(shutil.which, BROWSERS) if path), None)
    if found is None:
        pytest.skip("needs chromium")
    return found


# Skips ----------------------------------------------------------------------------------------


def _gap(report: Any) -> str | None:
    """Return the reason of a skip that must not happen here, or None."""
    if (
        not report.skipped
        or hasattr(report, "wasxfail")
        or os.environ.get("CONCURA_REQUIRE_ALL") != "1"
    ):
        return None
    reason = report.longrepr[2] if isinstance(report.longrepr, tuple) else str(report.longrepr)
    return None if reason.startswith(ALLOWED_SKIPS) or "CONCURA_DATA" in reason else reason


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport() -> Any:
    report = yield
    if reason := _gap(report):
        report.outcome, report.longrepr = "failed", f"CONCURA_REQUIRE_ALL=1, but: {reason}"
    return report


@pytest.hookimpl(wrapper=True)
def pytest_make_collect_report() -> Any:
    report = yield
    if reason := _gap(report):
        report.outcome, report.longrepr = "failed", f"CONCURA_REQUIRE_ALL=1, but: {reason}"
    return report


# No network -----------------------------------------------------------------------------------


class NetworkTouched(Exception):
    """A test reached for an address beyond this machine."""


def _is_near(host: Any) -> bool:
    text = host.decode() if isinstance(host, bytes) else str(host or "")
    if text in {"", "localhost", "localhost.localdomain", socket.gethostname()}:
        return True
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


@pytest.fixture(autouse=True)
def _loopback_only(monkeypatch: pytest.MonkeyPatch) -> None:
    connect, connect_ex, lookup = (
        socket.socket.connect,
        socket.socket.connect_ex,
        socket.getaddrinfo,
    )

    def guard(own: socket.socket, address: Any) -> None:
        if own.family in {socket.AF_INET, socket.AF_INET6} and not _is_near(address[0]):
            raise NetworkTouched(f"connect to {address!r}")

    def guarded_connect(own: socket.socket, address: Any) -> Any:
        guard(own, address)
        return connect(own, address)

    def guarded_connect_ex(own: socket.socket, address: Any) -> Any:
        guard(own, address)
        return connect_ex(own, address)

    def guarded_lookup(host: Any, *rest: Any, **more: Any) -> Any:
        # Names that end in .invalid never resolve (RFC 6761 §6.4): tests of failure may ask them.
        if not _is_near(host) and str(host).endswith(".invalid"):
            raise socket.gaierror(socket.EAI_NONAME, "no such name")
        if not _is_near(host):
            raise NetworkTouched(f"look-up of {host!r}")
        return lookup(host, *rest, **more)

    monkeypatch.setattr(socket.socket, "connect", guarded_connect)
    monkeypatch.setattr(socket.socket, "connect_ex", guarded_connect_ex)
    monkeypatch.setattr(socket, "getaddrinfo", guarded_lookup)


# No left-over process -------------------------------------------------------------------------


def _left_over() -> Iterator[str]:
    """Yield the command line of each process that this run started and that still lives (Linux)."""
    wanted = f"{MARK}={os.environ.get(MARK, '')}".encode()
    for folder in Path("/proc").glob("[0-9]*"):
        if folder.name == str(os.getpid()):
            continue
        try:
            if wanted in (folder / "environ").read_bytes().split(b"\0"):
                command = (
                    (folder / "cmdline")
                    .read_bytes()
                    .replace(b"\0", b" ")
                    .decode("utf-8", "replace")
                )
                yield f"{folder.name} {command.strip()[:200]}"
        except OSError:
            continue  # it ended, or is another user's


def pytest_sessionfinish(session: pytest.Session) -> None:
    grace = threading.Event()
    for _ in range(50):
        if not (left := list(_left_over())):
            return
        grace.wait(0.1)
    reporter = session.config.pluginmanager.get_plugin("terminalreporter")
    if reporter:
        reporter.write_line("")
        reporter.write_line("Processes left behind by tests:", red=True)
        for line in left:
            reporter.write_line(f"  {line}", red=True)
    session.exitstatus = pytest.ExitCode.TESTS_FAILED
