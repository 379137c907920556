"""Make the environments of the libraries that the suite compares with: `python -m benchmarks.install_peers`.

Each gets a virtual environment of its own in FOLDER, by default that of the variable STATICGRAD_PEERS, or
~/.cache/staticgrad-benchmarks. What is there already is brought to the versions that are asked for.
"""

from __future__ import annotations

import argparse
import subprocess
import venv
from pathlib import Path

from benchmarks.suite.registry import PACKAGES, environments, interpreter_in


def install(name: str, folder: Path) -> None:
    """Make one environment and install its packages."""
    target = folder / name
    if not interpreter_in(target).exists():
        venv.create(target, with_pip=True)
    subprocess.run([str(interpreter_in(target)), "-m", "pip", "install", *PACKAGES[name]], check=True)


def main() -> None:
    """Install what is named."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("peer", nargs="*", help=f"some of {', '.join(PACKAGES)}; all where none is named")
    parser.add_argument("--folder", type=Path, default=environments())
    given = parser.parse_args()
    if unknown := set(given.peer) - set(PACKAGES):
        parser.error(f"there is no {', '.join(sorted(unknown))}; there are {', '.join(PACKAGES)}")
    for name in given.peer or PACKAGES:
        print(f"{name}: {given.folder / name}", flush=True)
        install(name, given.folder)
    print(f"the suite finds them where STATICGRAD_PEERS={given.folder} is set, or in the default folder")


if __name__ == "__main__":
    main()
