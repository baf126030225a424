"""The history of a baseline, from a real repository: what moved, by which commit, and nothing taken for markup."""

from __future__ import annotations

import json
import os
import subprocess
from collections.abc import Callable
from pathlib import Path

import html5lib
import pytest
from click.testing import CliRunner
from msgspec import structs

from edgedeploy.cli.main import cli
from edgedeploy.foundation.errors import InvalidFileError
from edgedeploy.report.content.trend import latest_in_words, moves
from edgedeploy.report.exports.trend_page import trend_page
from edgedeploy.values.baseline import Baseline, BaselineAccuracy, BaselineEntry, CountedRun
from edgedeploy.verdict.baseline import save_baseline
from edgedeploy.workflows.trend import trend

pytestmark = pytest.mark.slow

HOSTILE = "</td><script>alert(1)</script> \x1b[31m| `x` {{ 7*7 }}"


def entry(instructions: float = 12_000_000.0, size: int = 200_000, top1: float = 0.97) -> BaselineEntry:
    return BaselineEntry(
        name="text-direction",
        target="rpi4",
        kind="counted",
        release="1-abc",
        cpu="Arm Cortex-A72 r0p3",
        cpu_features=(),
        runtime={"native": "1"},
        emulator="QEMU 7.2.22",
        model_size_bytes=size,
        instructions=(CountedRun(median=instructions, low=instructions, high=instructions),),
        accuracy=BaselineAccuracy(metric="top1", value=top1, samples=600),
    )


Commit = Callable[..., str]


@pytest.fixture
def commit(tmp_path: Path) -> Commit:
    """Writes a baseline, commits it, and returns the commit's hash."""
    folder = tmp_path / "a repository"
    folder.mkdir()
    environment = {
        **os.environ,
        **{f"GIT_{who}_{what}": value for who in ("AUTHOR", "COMMITTER") for what, value in
           (("NAME", "Ann & Bob"), ("EMAIL", "a@example.com"), ("DATE", "2026-01-02T03:04:05+00:00"))},
        "GIT_CONFIG_GLOBAL": "/dev/null",
    }  # fmt: skip

    def git(*words: str) -> str:
        done = subprocess.run(["git", *words], cwd=folder, env=environment, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    git("init", "-q")

    def make(content: BaselineEntry | bytes | None, message: str = "change", *, name: str = "base*line.json") -> str:
        path = folder / name
        if isinstance(content, BaselineEntry):
            save_baseline(Baseline(schema=1, entries=(content,)), path)
        elif content is not None:
            path.write_bytes(content)
        git("add", "-A")
        git("commit", "-q", "--allow-empty", "-m", message)
        return git("rev-parse", "HEAD")

    return make


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "a repository" / "base*line.json"


def test_each_figure_has_the_commit_that_moved_it(commit: Commit, file: Path) -> None:
    commit(entry(), "the first")
    commit(None, "something else")
    larger = commit(entry(size=300_000), "larger")
    noise = commit(entry(size=300_000, instructions=12_001_000.0), "measured again")
    both = commit(entry(size=300_000, instructions=9e6, top1=0.96), "faster and worse")
    history = trend(file)
    # A commit that did not change the file is none of its history.
    assert [each.subject for each in history.commits] == ["the first", "larger", "measured again", "faster and worse"]
    (series,) = history.series
    found = [(move.commit.commit, move.figure, move.change) for move in moves(history, series)]
    assert found == [
        (both, "instructions", "−25.0%"),
        (both, "top1", "−1.00 points"),
        (larger, "size", "+50.0%"),
    ]
    assert noise in [each.commit for each in history.commits]
    assert latest_in_words(series) == "300 kB (300,000 bytes), 9,000,000 instructions, top1 96.00%"


def test_renames_damage_and_removal_are_lived_with(commit: Commit, file: Path) -> None:
    commit(entry(), "the first", name="old.json")
    file.with_name("old.json").rename(file)
    commit(None, "renamed")
    damaged = commit(b"{", "damaged")
    file.unlink()
    removed = commit(None, "removed")
    commit(entry(size=100_000), "again")
    history = trend(file)
    assert history.unreadable == (removed, damaged)
    assert [each.subject for each in history.commits][-1] == "again"


def test_a_link_is_not_followed(commit: Commit, file: Path) -> None:
    commit(entry(), "the first")
    file.unlink()
    file.symlink_to("/etc/passwd")
    linked = commit(None, "a link")
    assert trend(file).unreadable == (linked,)


def test_old_commits_are_cut(commit: Commit, file: Path) -> None:
    for number in range(4):
        commit(entry(size=200_000 + number), f"number {number}")
    history = trend(file, most=2)
    assert [each.subject for each in history.commits] == ["number 2", "number 3"] and history.is_cut
    assert "older ones are not shown" in trend_page(history)
    assert not trend(file, most=4).is_cut


def test_a_file_that_is_too_large_is_left_out(commit: Commit, file: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from edgedeploy.workflows import trend as module

    commit(entry(), "the first")
    large = commit(b" " * 100_000 + file.read_bytes(), "large")
    commit(entry(size=1), "small again")
    monkeypatch.setattr(module, "BASELINE", structs.replace(module.BASELINE, size_bytes=50_000))
    assert trend(file).unreadable == (large,)


def test_the_page_is_html_and_what_commits_say_is_text(commit: Commit, file: Path) -> None:
    commit(entry(), HOSTILE.replace("\x1b", ""))
    commit(structs.replace(entry(size=5), name="<i>name</i>"), HOSTILE.replace("\x1b", ""))
    commit(structs.replace(entry(size=7), name="<i>name</i>"), "x" * 5000)
    page = trend_page(trend(file))
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    document = parser.parse(page)
    assert document.findall(".//script") == [] and document.findall(".//i") == []
    text = "".join(document.itertext())
    assert "</td><script>alert(1)</script>" in text and "{{ 7*7 }}" in text and "Ann & Bob" in text
    assert "x" * 201 not in text
    assert len(document.findall(".//{http://www.w3.org/2000/svg}svg")) >= 2


def test_the_terminal_gets_no_control_characters(commit: Commit, file: Path) -> None:
    commit(entry(), "one")
    commit(entry(size=5), HOSTILE)
    done = CliRunner().invoke(cli, ["trend", str(file), "-o", str(file.with_name("trend.html"))])
    assert done.exit_code == 0 and "\x1b" not in done.output and "size" in done.output
    assert file.with_name("trend.html").read_text().startswith("<!doctype html>")
    printed = CliRunner().invoke(cli, ["trend", str(file), "--json", "-q"])
    assert [len(json.loads(printed.stdout)[key]) for key in ("commits", "series")] == [2, 1]


def test_settings_of_the_repository_run_nothing(commit: Commit, file: Path, tmp_path: Path) -> None:
    commit(entry(), "one")
    ran = tmp_path / "ran"
    program = tmp_path / "program"
    program.write_text(f"#!/bin/sh\ntouch {ran}\ncat\n")
    program.chmod(0o755)
    with (file.parent / ".git/config").open("a") as config:
        config.write(
            f'[core]\n fsmonitor = "{program}"\n pager = "{program}"\n[diff]\n external = "{program}"\n'
            f'[diff "x"]\n textconv = "{program}"\n[filter "x"]\n smudge = "{program}"\n'
            f'[log]\n showSignature = true\n[gpg]\n program = "{program}"\n'
        )
    (file.parent / ".gitattributes").write_text("* diff=x filter=x\n")
    assert len(trend(file).commits) == 1
    assert not ran.exists()


def test_a_file_without_history_is_refused(commit: Commit, file: Path, tmp_path: Path) -> None:
    commit(entry(), "one", name="other.json")
    with pytest.raises(InvalidFileError, match="has no commit"):
        trend(file)
    with pytest.raises(InvalidFileError, match="does not exist"):
        trend(tmp_path / "no folder" / "b.json")
    outside = tmp_path / "outside.json"
    save_baseline(Baseline(schema=1), outside)
    with pytest.raises(InvalidFileError, match="lies in no git repository"):
        trend(outside)
    commit(b"{", "damaged", name="other.json")
    file.with_name("damaged.json").write_bytes(b"[1, 2, 3")
    commit(None, "damaged")
    with pytest.raises(InvalidFileError, match="left a baseline"):
        trend(file.with_name("damaged.json"))
