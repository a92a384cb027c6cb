"""Installation of the core into a fresh environment: packages, MiB and seconds.

Without arguments it measures this checkout; the package cache is as it is on the machine, which
the last line says. Limits: 40 packages, 200 MiB, 30 s.
"""

import json
import subprocess
import sys
import tempfile
import time
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PACKAGES_MAX, MIB_MAX, SECONDS_MAX = 40, 200, 30


def size_mib(folder: Path) -> float:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file()) / 2**20


def measure() -> dict[str, float]:
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder, "venv")
        venv.create(home, with_pip=True)
        python = home / "bin" / "python"
        site = next(home.glob("lib/python*/site-packages"))
        tools = {path.name for path in site.glob("*.dist-info")}  # pip is not the product
        before = size_mib(site)
        start = time.perf_counter()
        subprocess.run(
            [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", ROOT],
            check=True,
        )
        seconds = time.perf_counter() - start
        packages = [path.name for path in site.glob("*.dist-info") if path.name not in tools]
        subprocess.run(
            [python, "-m", "concura", "--version"],
            check=True,
            stdout=subprocess.DEVNULL,
            cwd=folder,
        )
        return {
            "packages": len(packages),
            "mib": round(size_mib(site) - before, 1),
            "seconds": round(seconds, 1),
        }


def main() -> int:
    found = measure()
    said = "core installed: {packages} packages, {mib} MiB, {seconds} s (pip, its cache as it was)"
    print(json.dumps(found) if "--json" in sys.argv else said.format(**found))
    fits = (
        found["packages"] <= PACKAGES_MAX
        and found["mib"] <= MIB_MAX
        and found["seconds"] <= SECONDS_MAX
    )
    return 0 if fits else 1


if __name__ == "__main__":
    sys.exit(main())
