"""A system of busybox and sshd: what is kept of Debian's packages, and nothing else.

Which shared libraries sshd needs is read from the programs themselves, so that no list of them has to follow Debian.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from edgedeploy.foundation.errors import BoardError
from edgedeploy.foundation.reading import open_file

_PROGRAMS = ("usr/bin/busybox", "usr/sbin/sshd")
_FACTS = ("etc/debian_version", "etc/os-release", "usr/lib/os-release")
# What programs of GNU's C and C++ libraries are linked to, by the names of glibc 2.34 and later (whose libpthread and
# others are empty, and still asked for); libgcc_s is opened by name when a thread is cancelled.
LIBRARIES = (
    *("libc.so.6", "libdl.so.2", "libm.so.6", "libpthread.so.0", "libresolv.so.2", "librt.so.1", "libutil.so.1"),
    *("libgcc_s.so.1", "libstdc++.so.6"),
)


def keep_minimum(root: Path) -> None:
    """Remove all files from a Debian root but busybox, sshd and the shared libraries that programs need.

    Raises:
        BoardError: the root has not what is to be kept.
    """
    kept = {root / name for name in (*_PROGRAMS, *_FACTS)}
    kept |= _with_libraries(root, [root / "usr/sbin/sshd"], LIBRARIES)
    for path in sorted(root.rglob("*"), reverse=True):  # what is in a folder comes before it
        if path.is_dir() and not path.is_symlink():
            if not any(path.iterdir()):
                path.rmdir()
        # `/bin`, `/lib` and the like are links into `/usr`.
        elif path not in kept and path.parent != root:
            path.unlink()
    for name in (*_PROGRAMS, *_FACTS):
        if not (root / name).is_file():
            raise BoardError("the packages do not make a minimal board", why=f"{name} is missing")


def _with_libraries(root: Path, programs: Iterable[Path], names: Iterable[str]) -> set[Path]:
    """Find the files of the libraries `names`, and of all that they and `programs` need, directly or not."""
    # Those in the folders nearest to the root are the ones that the loader looks in.
    paths = sorted((root / "usr/lib").rglob("*.so*"), key=lambda path: len(path.parts), reverse=True)
    libraries = {path.name: path for path in paths}
    found: set[Path] = set()
    to_do = [*names, *(name for program in programs for name in needed_libraries(program))]
    while to_do:
        name = to_do.pop()
        path = libraries.get(name)
        if path is None:
            raise BoardError("the packages do not make a minimal board", why=f"{name} is missing")
        if path not in found:
            found |= {path, path.parent / path.readlink()} if path.is_symlink() else {path}
            to_do += needed_libraries(path)
    return found


def needed_libraries(path: Path) -> list[str]:
    """Read which shared libraries an ELF file names, and the loader that it is started by."""
    from elftools.elf.dynamic import DynamicSection
    from elftools.elf.elffile import ELFFile
    from elftools.elf.segments import InterpSegment

    with open_file(path) as file:
        elf = ELFFile(file)
        dynamic = (section for section in elf.iter_sections() if isinstance(section, DynamicSection))
        # pyelftools gives each kind of tag an attribute of its own.
        names = [str(vars(tag)["needed"]) for section in dynamic for tag in section.iter_tags("DT_NEEDED")]
        loaders = (segment for segment in elf.iter_segments() if isinstance(segment, InterpSegment))
        return names + [Path(segment.get_interp_name()).name for segment in loaders]
