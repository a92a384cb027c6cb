"""The machine's clock and randomness, and a process that leaves no core dump."""

import asyncio
import os
import subprocess
import sys
import time

from concura.adapters.system import SystemClock, SystemRandomness


def test_the_clock_tells_the_systems_time():
    clock = SystemClock()

    assert abs(clock.now_ms() - time.time() * 1000) < 5_000
    assert clock.monotonic_s() <= clock.monotonic_s()


def test_the_clock_lets_time_pass():
    clock = SystemClock()
    start = clock.monotonic_s()

    asyncio.run(clock.sleep(0.01))

    assert clock.monotonic_s() - start >= 0.009


def test_drawn_bytes_are_as_many_as_asked_and_never_the_same():
    randomness = SystemRandomness()

    assert len(randomness.draw(32)) == 32
    assert randomness.draw(32) != randomness.draw(32)
    assert randomness.draw(0) == b""


def test_a_hardened_process_dumps_no_core_and_shares_no_file(tmp_path):
    code = (
        "import os, resource; from concura.adapters.system import harden_process; harden_process();"
        "open('f', 'w').close();"
        "print(resource.getrlimit(resource.RLIMIT_CORE), oct(os.stat('f').st_mode & 0o777))"
    )
    path = {"PYTHONPATH": os.pathsep.join(sys.path)}

    result = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=os.environ | path,
        capture_output=True,
        text=True,
        check=True,
    )

    assert result.stdout.strip() == "(1, 1) 0o600"
