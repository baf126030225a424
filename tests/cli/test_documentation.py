"""README, docs/ and CONTRIBUTING name commands, options and files that exist; help texts fit a terminal."""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from edgedeploy.cli.catalog import GROUPS, SUMMARIES
from edgedeploy.cli.main import cli

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", ROOT / "CONTRIBUTING.md", *sorted((ROOT / "docs").glob("*.md"))]
QUOTED = re.compile(r"^ {4,}edgedeploy (.+)$|`edgedeploy ([^`\n]+)`", re.MULTILINE)
"""A command in an indented block, or in a line."""


def commands(group: click.Group, path: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], click.Command]]:
    """Each command with the words that name it, groups included."""
    context = click.Context(group)
    for name in group.list_commands(context):
        command = group.get_command(context, name)
        assert command is not None
        yield (*path, name), command
        if isinstance(command, click.Group):
            yield from commands(command, (*path, name))


COMMANDS = dict(commands(cli))


def options(path: tuple[str, ...]) -> set[str]:
    """Of a command; of a group, those of its commands too."""
    below = (command for words, command in COMMANDS.items() if words[: len(path)] == path)
    return {name for command in below for parameter in command.params for name in parameter.opts}


def named(words: list[str]) -> list[tuple[str, ...]]:
    """The commands that quoted words name: `["board", "up|down", "NAME"]` names two."""
    if isinstance(COMMANDS.get((words[0],)), click.Group) and words[1:] and not words[1].startswith("["):
        return [(words[0], below) for below in words[1].split("|")]
    return [(words[0],)]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_quoted_commands_exist_with_their_options(page: Path) -> None:
    for match in QUOTED.finditer(page.read_text(encoding="utf-8")):
        quoted = (match[1] or match[2]).split("#")[0]
        words = quoted.split()
        if words[0].startswith("--"):
            continue
        paths = named(words)
        assert set(paths) <= set(COMMANDS), quoted
        known = set().union(*map(options, paths))
        assert set(re.findall(r"(?<![\w-])--[a-z][a-z-]*", quoted)) <= known, quoted


def test_readme_lists_every_command() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    listed = {(match[1] or match[2]).split()[0] for match in QUOTED.finditer(text)}
    listed |= set(re.findall(r"    edgedeploy \S+ .*    edgedeploy (\S+)", text))
    assert {words[0] for words in COMMANDS} <= listed


def test_links_between_pages_lead_somewhere() -> None:
    for page in PAGES:
        for link, anchor in re.findall(r"\]\(([^)#:]*)(?:#([^)]*))?\)", page.read_text(encoding="utf-8")):
            target = page.parent / link if link else page
            assert target.exists(), f"{page.name}: {link}"
            assert not anchor or anchor in anchors(target), f"{page.name}: {link}#{anchor}"


def anchors(page: Path) -> set[str]:
    """The headings of a page, as GitHub names them in links."""
    headings = re.findall(r"^#+ (.+)$", page.read_text(encoding="utf-8"), re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


def test_figures_of_instruction_counts_are_those_of_their_benchmark() -> None:
    """What the pages say of the spread of counts, and of the demo's model, stands in the table of `bench measure`."""
    table = (ROOT / "docs" / "bench_measure.md").read_text(encoding="utf-8")
    rows = {
        name: (int(median.replace(",", "")), float(spread))
        for name, median, spread in re.findall(
            r"^\| (\S+), guest instructions \| \d+ \| ([\d,]+) \|.*\| ([\d.]+)% \| [\d.]+ \|$", table, re.MULTILINE
        )
    }
    worst = max(spread for _, spread in rows.values())
    before, after = rows["onnxruntime"][0], rows["onnxruntime-int8"][0]
    speed, measurement, readme = (
        " ".join((ROOT / name).read_text(encoding="utf-8").split())
        for name in ("docs/speed.md", "docs/measurement.md", "README.md")
    )
    assert f"differed by at most {worst:g} %" in speed
    assert f"{before / 1e6:.2f} → {after / 1e6:.2f} M: {after / before:.2f}" in speed
    assert worst < 0.01 and "the counts differed by under 0.01 %" in measurement
    assert "differed by under 0.01 %" in readme
    assert f"{1 - after / before:.1%} fewer instructions".replace("%", " %") in readme


def test_files_that_contributing_names_exist() -> None:
    text = (ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8")
    layout = text.partition("## Package layout")[2].partition("Beside")[0]
    packages = set(re.findall(r"^    ([a-z]+)/ ", layout, re.MULTILINE))
    folders = {folder.name for folder in (ROOT / "edgedeploy").iterdir() if (folder / "__init__.py").exists()}
    assert packages == folders
    for name in re.findall(r"`((?:[\w.]+/)+[\w.]*)`", text):
        assert any((base / name).exists() for base in (ROOT, ROOT / "edgedeploy", ROOT / "tests")), name


def parsed(line: str) -> None:
    """Parse one command line of a shell as `edgedeploy` does, and run nothing.

    Raises:
        click.UsageError: it is wrong.
    """
    words = shlex.split(line, comments=True)
    # What stands before and after: `A=1 edgedeploy … >FILE`.
    words = words[words.index("edgedeploy") + 1 :]
    words = words[: next((at for at, word in enumerate(words) if word[0] in "|>;" or word == "&&"), len(words))]
    group: click.Command = cli
    context: click.Context | None = None
    while isinstance(group, click.Group) and words:
        name, command, words = group.resolve_command(click.Context(group), words)
        assert command is not None
        context = click.Context(group, parent=context)
        group = command
        if "--help" in words or "-h" in words:
            return
        with group.make_context(str(name), list(words), parent=context, resilient_parsing=False) as made:
            words = made.args if isinstance(group, click.Group) else []
            made.args.clear()


@pytest.mark.parametrize("words", [(), *COMMANDS], ids=lambda words: " ".join(words) or "edgedeploy")
def test_help_ends_with_examples_that_parse(words: tuple[str, ...]) -> None:
    text = CliRunner().invoke(cli, [*words, "--help"], terminal_width=80).output
    shown = text.partition("Examples:\n")[2].partition("Exit codes:")[0].replace("\\\n", " ")
    lines = [line.strip() for line in shown.splitlines() if line.strip()]
    assert lines
    for line in lines:
        assert line.startswith(" ".join(("edgedeploy", *words))), line
        parsed(line)


def test_the_groups_of_help_are_all_commands() -> None:
    text = CliRunner().invoke(cli, ["--help"], terminal_width=80).output
    assert [line[:-1] for line in text.splitlines() if line[:1].isupper() and line.endswith(":")] == [
        "Options",
        *GROUPS,
        "Exit codes",
    ]
    modules = {path.stem for path in (ROOT / "edgedeploy" / "cli" / "commands").glob("[a-z]*.py")}
    assert set(SUMMARIES) == modules


@pytest.mark.parametrize("words", [(), *COMMANDS], ids=lambda words: " ".join(words) or "edgedeploy")
def test_help_fits_a_terminal(words: tuple[str, ...]) -> None:
    """80 columns, and no summary of a command is cut off."""
    lines = CliRunner().invoke(cli, [*words, "--help"], terminal_width=80).output.splitlines()
    assert max(map(len, lines)) <= 80
    assert not [line for line in lines if line.endswith("...") and not line.startswith("Usage:")]
