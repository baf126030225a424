"""The versions of a file in its git repository: read only, bounded, and running nothing that the repository names."""

from __future__ import annotations

import contextlib
import os
import re
import subprocess
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import IO

from msgspec import Struct

from edgedeploy.foundation.errors import HostError, InvalidFileError
from edgedeploy.foundation.programs import end_with_parent, find, last_lines
from edgedeploy.foundation.reading import ReadLimit
from edgedeploy.foundation.sanitize import one_line

_TIMEOUT_S = 120.0
_PIECE_BYTES = 1 << 16
_WORDS = 200
"""Characters of an author's name and of a subject: they are anybody's, and may be endless."""
_COMMIT = re.compile("[0-9a-f]{40}|[0-9a-f]{64}")
_CHANGE = re.compile(r":\d+ (?P<mode>\d+) [0-9a-f]+ (?P<blob>[0-9a-f]+) [A-Z]\d*\t")
_FILE_MODES = ("100644", "100755")
"""No link, and no commit of another repository."""
_ENVIRONMENT = {"GIT_OPTIONAL_LOCKS": "0", "GIT_TERMINAL_PROMPT": "0", "GIT_NO_LAZY_FETCH": "1", "LC_ALL": "C"}
# A repository's own settings may name programs, and remotes from which what is missing would be fetched.
_SETTINGS = (
    "-c",
    "core.fsmonitor=false",
    "-c",
    "core.hooksPath=/dev/null",
    "-c",
    "log.showSignature=false",
    "-c",
    "protocol.allow=never",
)


class FileVersion(Struct, frozen=True, kw_only=True):
    """A commit that changed a file, and what it left."""

    commit: str
    author: str
    """On one line, without control characters, at most 200 characters; as `subject`."""
    when: str
    """When it was written, ISO 8601."""
    subject: str
    content: bytes | None
    """None where it is larger than its kind can be, or gone."""


def file_versions(path: Path, limit: ReadLimit, *, most: int) -> Iterator[FileVersion]:
    """Yield the commits that changed a file, the newest first, across renames.

    Args:
        limit: of the content.
        most: so many commits at most.

    Raises:
        InvalidFileError: the file lies in no git repository, or has no commit.
        HostError: git is not installed, or fails.
    """
    folder, name = path.absolute().parent, path.name
    if not folder.is_dir():
        raise InvalidFileError(f"{folder} does not exist", hint="check the path")
    log = _output(
        folder, "log", "--follow", "--format=%H", "--raw", "--no-abbrev", f"--max-count={most}", "--", f"./{name}"
    )
    blobs = _blobs(log)
    if not blobs:
        raise InvalidFileError(
            f"{path} has no commit in the git repository that it lies in", hint="check the path, or commit the file"
        )
    described = _described(folder, list(blobs))
    with _Contents(folder) as contents:
        for commit, blob in blobs.items():
            author, when, subject = described[commit]
            content = contents.read(blob, limit) if blob else None
            yield FileVersion(commit=commit, author=author, when=when, subject=subject, content=content)


def _blobs(log: str) -> dict[str, str]:
    """By commit, the hash of the file's content; empty where it is gone or no file."""
    blobs: dict[str, str] = {}
    commit = ""
    for line in log.splitlines():
        if _COMMIT.fullmatch(line):
            commit = line
        elif (change := _CHANGE.match(line)) is not None and commit:
            blobs[commit] = change["blob"] if change["mode"] in _FILE_MODES else ""
    return blobs


def _described(folder: Path, commits: Sequence[str]) -> dict[str, tuple[str, str, str]]:
    """By commit, its author, time and subject. A message may hold anything but NUL, which is what is between them."""
    words = _output(
        folder, "log", "--no-walk=unsorted", "--stdin", "--format=%H%x00%an%x00%aI%x00%s%x00", stdin="\n".join(commits)
    ).split("\0")
    found = {}
    for hash_, author, when, subject in zip(words[::4], words[1::4], words[2::4], words[3::4], strict=False):
        found[hash_.strip()] = one_line(author, limit=_WORDS), one_line(when), one_line(subject, limit=_WORDS)
    return found


def _line(*arguments: str) -> list[str]:
    return [find("git"), "--literal-pathspecs", *_SETTINGS, *arguments]


def _output(folder: Path, *arguments: str, stdin: str = "") -> str:
    try:
        done = subprocess.run(
            _line(*arguments),
            cwd=folder,
            env={**os.environ, **_ENVIRONMENT},
            input=stdin.encode(),
            capture_output=True,
            timeout=_TIMEOUT_S,
            check=False,
            preexec_fn=end_with_parent,
        )
    except subprocess.TimeoutExpired as error:
        raise HostError(f"git did not answer within {_TIMEOUT_S:.0f} s", hint="run the command again") from error
    if done.returncode:
        why = last_lines(done.stderr)
        if b"not a git repository" in done.stderr:
            raise InvalidFileError(f"{folder} lies in no git repository", why=why, hint="check the path")
        raise HostError("git failed", why=why)
    return done.stdout.decode(errors="replace")


class _Contents:
    """One `git cat-file` that hands out contents, one at a time. A context manager: leaving it ends it."""

    def __init__(self, folder: Path) -> None:
        self._stack = contextlib.ExitStack()
        self._process = self._stack.enter_context(
            subprocess.Popen(
                _line("cat-file", "--batch"),
                cwd=folder,
                env={**os.environ, **_ENVIRONMENT},
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                preexec_fn=end_with_parent,
            )
        )
        self._stack.callback(self._process.kill)

    def __enter__(self) -> _Contents:
        return self

    def __exit__(self, *exc: object) -> None:
        self._stack.close()

    def read(self, blob: str, limit: ReadLimit) -> bytes | None:
        """Return a content; None where it is larger than `limit`, or git has none of that name."""
        asking, answer = self._process.stdin, self._process.stdout
        assert asking is not None and answer is not None
        asking.write(f"{blob}\n".encode())
        asking.flush()
        head = answer.readline().split()
        if len(head) != 3 or not head[2].isdigit():
            return None
        size_bytes = int(head[2])
        # Behind the content is a line feed.
        if size_bytes > limit.size_bytes:
            _skip(answer, size_bytes + 1)
            return None
        return answer.read(size_bytes + 1)[:-1]


def _skip(stream: IO[bytes], count: int) -> None:
    while count > 0 and (piece := stream.read(min(count, _PIECE_BYTES))):
        count -= len(piece)
