"""Sealing and opening one large file on a RAM disk, beside cp, age, gpg and openssl in one run.

Each program seals and opens the same file of random bytes, in turn, several rounds; the median
counts, because a shared machine's absolute seconds say little. `concura` is the whole command, with
the start of the interpreter, two RSA keys read and a signature; `stream` is the segments alone.
Goals (wall time, so higher is better): 1.3 x age, 4 x gpg --symmetric, 0.7 x cp.
A program that is not installed is left out, and said.

    python benchmarks/seal_files.py [--mib 1024] [--rounds 3] [--folder /dev/shm] [--json]
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from concura.adapters.keys_file import FileKeyStore
from concura.adapters.segments import FileSink, FileSource, open_segments, seal_segments
from concura.sealing.stream import LARGE, SegmentCipher, make_header

OTHERS = ("cp", "age", "gpg", "openssl")
GOALS = {"age": 1.3, "gpg": 4.0, "cp": 0.7}


def used():
    """Return CPU seconds of this process and of its ended children."""
    both = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return sum(one.ru_utime + one.ru_stime for one in both)


def timed(work, target):
    target.unlink(missing_ok=True)
    cpu, start = used(), time.perf_counter()
    work()
    return time.perf_counter() - start, used() - cpu


def call(*words, **more):
    def work():
        subprocess.run(list(map(str, words)), check=True, capture_output=True, **more)

    return work


def programs(place):
    """Return {program: {action: (work, the file it makes)}} for what is installed."""
    plain, out = place / "plain", place / "out"
    found = {"cp": {"seal": (call("cp", plain, out), out), "open": (call("cp", plain, out), out)}}
    found["concura"] = concura(place, plain, out)
    found["stream"] = stream(place, plain, out)
    if shutil.which("age"):
        said = subprocess.run(
            ["age-keygen", "-o", place / "age.key"], check=True, capture_output=True, text=True
        )
        reader = (said.stderr + said.stdout).split("ublic key: ")[1].split()[0]
        kept = place / "plain.age"
        found["age"] = {
            "seal": (call("age", "-r", reader, "-o", kept, plain), kept),
            "open": (call("age", "-d", "-i", place / "age.key", "-o", out, kept), out),
        }
    if shutil.which("gpg"):
        home, kept = place / "gnupg", place / "plain.gpg"
        home.mkdir(mode=0o700)
        quiet = ["gpg", "--homedir", home, "--batch", "--yes", "--pinentry-mode", "loopback"]
        quiet += ["--passphrase", "benchmark"]
        sealing = ["--symmetric", "--cipher-algo", "AES256", "-z", "0"]
        found["gpg"] = {
            "seal": (call(*quiet, *sealing, "-o", kept, plain), kept),
            "open": (call(*quiet, "-o", out, "--decrypt", kept), out),
        }
    if shutil.which("openssl"):
        kept = place / "plain.ssl"
        cipher = ["openssl", "enc", "-aes-256-ctr", "-pbkdf2", "-pass", "pass:benchmark"]
        found["openssl"] = {
            "seal": (call(*cipher, "-in", plain, "-out", kept), kept),
            "open": (call(*cipher, "-d", "-in", kept, "-out", out), out),
        }
    return found


def concura(place, plain, out):
    kept, keys = place / "plain.sealed", place / "keys"
    store = FileKeyStore.create(keys)
    (place / "me.der").write_bytes(store.public("wrap"))
    source = Path(__file__).resolve().parents[1] / "src"
    env = {**os.environ, "PYTHONPATH": str(source)}
    words = [sys.executable, "-m", "concura"]
    return {
        "seal": (
            call(*words, "seal", plain, "--to", place / "me.der", "--from", keys, env=env),
            kept,
        ),
        "open": (call(*words, "open", kept, "--key", keys, "-o", out, env=env), out),
    }


def stream(place, plain, out):
    kept, size = place / "plain.stream", plain.stat().st_size
    header = make_header(bytes(32), bytes(7))
    cipher = SegmentCipher(bytes(32), header, associated=b"")

    def run(work, one, other, length, *, sealed):
        with one.open("rb") as source, other.open("wb") as sink:
            pieces = FileSource(
                source.fileno(), str(one), layout=LARGE, sealed=sealed, base=0, end=length
            )
            work(pieces, FileSink(sink.fileno()), cipher, advance=lambda _: None)

    return {
        "seal": (lambda: run(seal_segments, plain, kept, size, sealed=False), kept),
        "open": (
            lambda: run(open_segments, kept, out, LARGE.sealed_bytes(size), sealed=True),
            out,
        ),
    }


def fill(path, mib):
    with path.open("wb") as file:
        block = os.urandom(1024 * 1024)
        for number in range(mib):
            file.write(number.to_bytes(8, "big") + block[8:])


def measure(place, mib, rounds):
    # In a virtual machine the first touch of a page is slow: nobody shall pay it for the others.
    fill(place / "warm", 4 * mib)
    (place / "warm").unlink()
    fill(place / "plain", mib)
    found, seen = programs(place), {}
    for _ in range(rounds):
        for name, actions in found.items():
            kept = None
            for action, (work, target) in actions.items():
                seen.setdefault((name, action), []).append(timed(work, target))
                if action == "open":
                    target.unlink()
                    if kept and kept != target:
                        kept.unlink(missing_ok=True)
                kept = target
    return {
        f"{name} {action}": {
            "wall_s": round(statistics.median(wall for wall, _ in times), 3),
            "cpu_s": round(statistics.median(cpu for _, cpu in times), 3),
        }
        for (name, action), times in seen.items()
    }


def ratios_of(found):
    """Return how many times as fast ours is as each other program."""
    ratios = {}
    for who in ("concura", "stream"):
        for action in ("seal", "open"):
            ours = found[f"{who} {action}"]
            for name in OTHERS:
                if (other := found.get(f"{name} {action}")) is not None:
                    ratios[f"{who} {action} / {name}"] = {
                        "wall": round(other["wall_s"] / ours["wall_s"], 2),
                        "cpu": round(other["cpu_s"] / max(0.001, ours["cpu_s"]), 2),
                    }
    return ratios


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--mib", type=int, default=1024)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--folder", type=Path, default=Path("/dev/shm"))
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    folder = options.folder if options.folder.is_dir() else None
    with tempfile.TemporaryDirectory(dir=folder) as place:
        found = measure(Path(place), options.mib, options.rounds)
    ratios = ratios_of(found)
    missed = [
        f"{key} {ratio['wall']} < {GOALS[key.rpartition(' ')[2]]}"
        for key, ratio in ratios.items()
        if key.startswith("concura") and ratio["wall"] < GOALS.get(key.rpartition(" ")[2], 0)
    ]
    absent = sorted(name for name in OTHERS if f"{name} seal" not in found)
    result = {
        "mib": options.mib,
        "absent": absent,
        "load": os.getloadavg()[0],
        "times": found,
        "ratios": ratios,
    }
    if options.json:
        print(json.dumps({**result, "missed": missed}, indent=2))
    else:
        print(f"{options.mib} MiB, load {result['load']:.1f}")
        for key, times in found.items():
            print(f"{key:<14} {times['wall_s']:7.3f} s wall  {times['cpu_s']:7.3f} s cpu")
        for key, ratio in ratios.items():
            print(f"{key:<26} x {ratio['wall']:5.2f} wall  x {ratio['cpu']:5.2f} cpu")
        for line in missed:
            print("missed:", line)
        for name in absent:
            print("not installed:", name)
    return bool(missed)


if __name__ == "__main__":
    sys.exit(main())
