"""The tables of targets in the documentation, written from `targets/` and from what each backend says of a target.

    scripts/targets_table           write them anew
    scripts/targets_table --check   end with 1 if they are not what they would be

A file takes part by having the two lines `<!-- targets: NAME -->` and `<!-- end of targets -->`; between them stands
the table called NAME: `facts` or `backends`.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from pathlib import Path

from edgedeploy.compile.candidates import candidates
from edgedeploy.compile.dependencies.zig import zig_version
from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.inference.formats import ModelFormat
from edgedeploy.targets.load import load_target
from edgedeploy.values.target import Target

ROOT = Path(__file__).resolve().parent.parent
FILES = (ROOT / "README.md", ROOT / "docs/targets.md")

_FORMATS: tuple[ModelFormat, ...] = ("onnx", "tflite")
_PLACE = re.compile(r"(?P<begin><!-- targets: (?P<name>[a-z]+) -->\n).*?(?P<end><!-- end of targets -->)", re.DOTALL)


def shipped() -> list[Target]:
    """The targets of this checkout, not those of whoever runs this; boards before what is for many."""
    found = [load_target(path.stem) for path in (ROOT / "targets").glob("*.toml")]
    return sorted(found, key=lambda target: (not target.boards, target.name.removesuffix("-32"), target.name))


def facts(targets: Sequence[Target]) -> str:
    rows = [
        (
            f"`{target.name}`",
            target.title,
            target.architecture,
            f"{target.cpu.cores} × {target.cpu.core}" if target.boards else target.cpu.core,
            f"{target.cpu.clock_mhz:,} MHz" if target.boards else "",
            ", ".join(f"{size_mb:,}" for size_mb in target.memory_mb) if target.boards else "",
            f"{target.os.page_size_bytes >> 10} KB",
            ", ".join(f"{system.release} {system.python}/{system.glibc}" for system in (target.os, *target.other_os)),
        )
        for target in targets
    ]
    return _table(
        ("target", "boards", "programs", "cores", "clock", "memory, MB", "pages", "systems: Python/glibc"), rows
    )


def backends(targets: Sequence[Target]) -> str:
    """Which formats each backend takes on each target; a number says in which order `auto` tries them."""
    longest_first = sorted(targets, key=lambda target: -len(target.backends))
    names = list(dict.fromkeys(name for target in longest_first for name in target.backends))
    rows = [(f"`{target.name}`", *(_cell(target, name) for name in names)) for target in targets]
    return _table(("target", *names), rows)


def _cell(target: Target, backend: str) -> str:
    formats = [format for format in _FORMATS if _takes(target, backend, format)]
    if not formats:
        return ""
    words = " and ".join({"onnx": "ONNX", "tflite": "`.tflite`"}[format] for format in formats)
    return f"{target.backends.index(backend) + 1}. {words}"


def _takes(target: Target, backend: str, format: ModelFormat) -> bool:
    try:
        return bool(candidates(backend, target, format))
    except UnsupportedError:
        return False


def _table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [headings, ["---"] * len(headings), *rows]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


_TABLES = {"facts": facts, "backends": backends}


def renewed(text: str) -> str:
    """A document with its tables as they have to be."""
    targets = shipped()

    def table(place: re.Match[str]) -> str:
        return place["begin"] + _TABLES[place["name"]](targets) + place["end"]

    return _PLACE.sub(table, text)


def main() -> int:
    zig_version()  # Backends that compile refuse every target without it, and the table is not about this machine.
    stale = [path for path in FILES if renewed(path.read_text(encoding="utf-8")) != path.read_text(encoding="utf-8")]
    for path in stale:
        if "--check" in sys.argv[1:]:
            print(f"{path.relative_to(ROOT)} is not what targets/ says: run scripts/targets_table", file=sys.stderr)
        else:
            path.write_text(renewed(path.read_text(encoding="utf-8")), encoding="utf-8")
            print(f"{path.relative_to(ROOT)} is new")
    return 1 if stale and "--check" in sys.argv[1:] else 0


if __name__ == "__main__":
    sys.exit(main())
