"""Compare the releases on a device with their manifests: what is in their folders, and each file's content."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from pathlib import PurePosixPath

from edgedeploy.deploy.scripts.running import argv, run
from edgedeploy.deploy.scripts.verifying import LAYOUT, VERIFY
from edgedeploy.device.connection import Connection
from edgedeploy.foundation.errors import DeviceError
from edgedeploy.foundation.sanitize import one_line
from edgedeploy.values.bundle import MANIFEST_NAME, Release

_TIMEOUT_S = 900.0
_SHOWN = 5
_LINE_LIMIT = 300
_HEADINGS = ("folders", "files", "others", "modes")


def altered_releases(connection: Connection, releases: Sequence[Release]) -> dict[str, tuple[str, ...]]:
    """Compare what is in the folders of releases with their manifests, without reading contents: names, kinds of files
    and modes. It takes one round trip where all is well.

    Returns:
        What is wrong, by `NAME/ID`; only releases with something wrong are in it.

    Raises:
        DeviceError, UnreachableError: the device cannot answer.
    """
    if not releases:
        return {}
    wrong: dict[str, list[str]] = defaultdict(list)
    digests: dict[str, str] = {}
    for line in _ask(connection, "digest", releases):
        match line.split(" ", 2):
            case ["digest", path, digest]:
                digests[path] = digest
            case ["cannot-run", path, file]:
                wrong[path].append(f"{file} cannot be run: by its mode, or by how its file system is mounted")
    different = [each for each in releases if digests.get(_path(each)) != _digest(each)]
    layouts = _layouts(connection, different)
    for release in different:
        path = _path(release)
        found = layouts.get(path)
        problems = ["what is in its folder is not determined"] if found is None else _differences(release, found)
        wrong[path] = [*problems, *wrong[path]]
    return {
        path: tuple(one_line(problem, limit=_LINE_LIMIT) for problem in problems) for path, problems in wrong.items()
    }


def broken_files(connection: Connection, release: Release) -> str:
    """Verify a release on its device: what is in its folder, then the SHA-256 of every file.

    Returns:
        What is wrong, in words; empty only when every file was read and is whole, and there is nothing else.
    """
    try:
        altered = altered_releases(connection, [release]).get(_path(release), ())
    except DeviceError as error:
        altered = (error.why or error.what,)
    if altered:
        return in_words(altered)
    sums = "".join(f"{entry.sha256}  ./{entry.path}\n" for entry in release.manifest.files)
    completed = connection.run(argv(VERIFY, release.name, release.id), stdin=sums.encode(), timeout_s=_TIMEOUT_S)
    if completed.exit_status == 0:
        return ""
    lines = (completed.stdout + completed.stderr).decode(errors="replace").splitlines()
    wrong = [one_line(line) for line in lines if not line.endswith(": OK")]  # so sha256sum marks a file that is whole
    return in_words(wrong) or f"sha256sum ended with status {completed.exit_status}"


def in_words(problems: Sequence[str]) -> str:
    """Join what is wrong, the first five of it."""
    more = [f"and {len(problems) - _SHOWN} more"] if len(problems) > _SHOWN else []
    return " | ".join([*problems[:_SHOWN], *more])


def _path(release: Release) -> str:
    return f"{release.name}/{release.id}"


def _ask(connection: Connection, what: str, releases: Iterable[Release]) -> Iterator[str]:
    lines: list[str] = []
    for release in releases:
        lines.append(f"release {_path(release)}\n")
        lines += [f"run ./{path}\n" for path in sorted(_programs(release))]
    answer = run(
        connection,
        LAYOUT,
        what,
        stdin="".join(lines).encode(),
        timeout_s=_TIMEOUT_S,
        doing="say what is in its releases",
    )
    return iter(answer.stdout.decode(errors="replace").split("\n"))


def _programs(release: Release) -> set[str]:
    return {entry.path for entry in release.manifest.files if entry.executable}


def _expected(release: Release) -> dict[str, list[str]]:
    """List what `LAYOUT` finds under each heading in a folder that is as it should be."""
    files = {MANIFEST_NAME, *(entry.path for entry in release.manifest.files)}
    folders = {parent for path in files for parent in PurePosixPath(path).parents}
    return {
        "folders": [".", *_sorted(folder for folder in map(str, folders) if folder != ".")],
        "files": _sorted(files),
        "others": [],
        "modes": [],
    }


def _sorted(paths: Iterable[str]) -> list[str]:
    return sorted((f"./{path}" for path in paths), key=str.encode)


def _digest(release: Release) -> str:
    expected = _expected(release)
    text = "".join(f"{line}\n" for heading in _HEADINGS for line in (heading, *expected[heading]))
    return sha256(text.encode()).hexdigest()


def _layouts(connection: Connection, releases: Sequence[Release]) -> dict[str, Mapping[str, set[str]]]:
    """Ask what is in the folders of releases, by `NAME/ID` and heading."""
    found: dict[str, Mapping[str, set[str]]] = {}
    if not releases:
        return found
    wanted = {_path(release) for release in releases}
    heading, layout = "", dict[str, set[str]]()
    try:
        answer = _ask(connection, "text", releases)
    except DeviceError:  # more than anybody wants to hear
        return found
    for line in answer:
        begun = line.removeprefix("begin ")
        if begun != line and begun in wanted:
            layout = {each: set() for each in _HEADINGS}
            found[begun] = layout
        elif line in _HEADINGS:
            heading = line
        elif line and heading and layout and not line.startswith("cannot-run "):
            layout[heading].add(line)
    return found


def _differences(release: Release, found: Mapping[str, set[str]]) -> list[str]:
    """Say in words how a folder differs from a manifest."""
    expected = {heading: set(paths) for heading, paths in _expected(release).items()}
    ours = expected["files"] | expected["folders"]
    problems = []
    for heading, kind in (("files", "file"), ("folders", "folder")):
        others = set[str]().union(*(found[each] for each in ("files", "folders", "others") if each != heading))
        for path in sorted(expected[heading] - found[heading]):
            name = path.removeprefix("./")
            problems.append(f"{name} is no {kind} any more" if path in others else f"{name} is missing")
    extra = (found["files"] | found["folders"] | found["others"]) - ours
    # What is in an extra folder is said with that.
    inside = {path for path in extra if any(f"./{parent}" in extra for parent in PurePosixPath(path).parents)}
    problems += [f"{path.removeprefix('./')} is not of the release" for path in sorted(extra - inside)]
    problems += [f"{_name(path)} has a mode that is not of the release" for path in sorted(found["modes"] - extra)]
    return problems


def _name(path: str) -> str:
    return "its folder" if path == "." else path.removeprefix("./")
