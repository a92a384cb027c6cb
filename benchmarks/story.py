"""The whole story as a newcomer meets it: time to the first line, to the end, and of a round.

Runs `concura demo` as a process of its own, a few times, and prints minimum, median and maximum.
A round here is one of the consortium's: four node processes, masks, mutual TLS, and the ledger.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def first_line() -> float:
    """Return the seconds until `concura demo` prints its first line; then stop it."""
    began = time.perf_counter()
    with subprocess.Popen(
        [sys.executable, "-m", "concura", "demo"],
        stdout=subprocess.PIPE,
        stderr=subprocess.DEVNULL,
    ) as process:
        assert process.stdout is not None
        process.stdout.readline()
        seconds = time.perf_counter() - began
        process.terminate()
        process.communicate()
    return seconds


def story() -> dict[str, float]:
    """Play the story once and return its times, in seconds."""
    with tempfile.TemporaryDirectory() as folder:
        report = str(Path(folder) / "report.html")
        command = [sys.executable, "-m", "concura", "demo", "--json", "--report", report]
        done = subprocess.run(command, check=True, capture_output=True)
    told = json.loads(done.stdout)
    return {**told["seconds"], "a round": told["seconds"]["learn"] / told["rounds"]}


def show(name: str, seconds: list[float]) -> None:
    """Print one row."""
    low, middle, high = min(seconds), statistics.median(seconds), max(seconds)
    print(f"{name:<12} {low:8.3f} {middle:8.3f} {high:8.3f}")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runs", type=int, default=3)
    runs = parser.parse_args().runs
    print(f"{'seconds':<12} {'min':>8} {'median':>8} {'max':>8}   ({runs} runs)")
    show("first line", [first_line() for _ in range(runs)])
    stories = [story() for _ in range(runs)]
    for name in stories[0]:
        show(name, [one[name] for one in stories])


if __name__ == "__main__":
    main()
