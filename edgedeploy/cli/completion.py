"""What a shell offers after a Tab: recipes, targets, backends, metrics, boards and addresses.

Nothing here connects to a device, or imports what takes longer than a user waits. Whatever goes wrong, nothing is
offered: a message in the middle of a command line would be in the way.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Iterator
from typing import TYPE_CHECKING, Any, ClassVar

import click
from click.shell_completion import BashComplete, CompletionItem, add_completion_class, split_arg_string

if TYPE_CHECKING:
    from edgedeploy.foundation.resources import Kind

Items = list["CompletionItem[str]"]


def complete_recipe(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Offer the recipes by name; where none fits, files."""
    return _matching(_titled("quantize"), incomplete) or complete_file(ctx, param, incomplete)


def complete_target(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Offer the targets by name."""
    return _matching(_titled("targets"), incomplete)


def complete_backend(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Offer `auto` and the backends; only those of the target, where the command line names one."""
    names: tuple[str, ...] = ()
    with contextlib.suppress(Exception):
        from edgedeploy import api

        names = api.backend_names()
        if target := ctx.params.get("target_name") or ctx.params.get("target"):
            names = api.load_target(target).backends
    return _matching((("auto", "the first that can run the model"), *((name, "") for name in names)), incomplete)


def complete_metric(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Offer the metrics that edgedeploy has."""
    from edgedeploy import api

    return _matching(((name, "") for name in api.metric_names()), incomplete)


def complete_head(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Offer the kinds of heads that edgedeploy has."""
    from edgedeploy import api

    return _matching(((name, "") for name in api.head_names()), incomplete)


def complete_preset(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Offer the presets of preprocessing that edgedeploy has."""
    from edgedeploy import api

    return _matching(((name, "") for name in api.preset_names()), incomplete)


def complete_job(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Offer the jobs of `doctor`."""
    from edgedeploy import api

    return _matching(api.doctor_jobs().items(), incomplete)


def complete_device(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Offer the boards that were made, this machine, and the hosts that ~/.ssh/config names."""
    boards = ((f"board:{name}", "emulated board") for name in _boards())
    hosts = ((name, "from ~/.ssh/config") for name in _ssh_hosts())
    return _matching((*boards, ("local:", "this machine"), *hosts), incomplete)


def complete_board(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Offer the boards that were made, by name, and the targets, after which a new one can be called."""
    made = dict.fromkeys(_boards(), "emulated board")
    return _matching({**dict(_titled("targets")), **made}.items(), incomplete)


def complete_file(ctx: click.Context, param: click.Parameter, incomplete: str) -> Items:
    """Let the shell offer files."""
    return [CompletionItem(incomplete, type="file")]


def _matching(offered: Iterable[tuple[str, str]], incomplete: str) -> Items:
    return [CompletionItem(name, help=about or None) for name, about in offered if name.startswith(incomplete)]


def _titled(kind: Kind) -> Iterator[tuple[str, str]]:
    """Yield name and title of each recipe or target. Not by `load_recipe`, which imports every pass: two seconds."""
    import tomllib

    from edgedeploy.foundation import resources
    from edgedeploy.foundation.reading import TOML_TEXT, read_text

    for name in resources.names(kind):
        title = ""
        with contextlib.suppress(Exception):
            title = str(tomllib.loads(read_text(resources.find(kind, name), TOML_TEXT)).get("title", ""))
        yield name, title


def _boards() -> list[str]:
    from edgedeploy import api

    with contextlib.suppress(OSError):
        return list(api.board_names())
    return []


def _ssh_hosts() -> list[str]:
    """Return the names after `Host` that are no patterns, in the order of the file."""
    from edgedeploy.foundation.home import home_folder
    from edgedeploy.foundation.reading import SSH_TEXT, read_text

    text = ""
    with contextlib.suppress(OSError):
        text = read_text(home_folder() / ".ssh" / "config", SSH_TEXT, errors="replace")
    found = re.findall(r"^[ \t]*host(?:[ \t]*=[ \t]*|[ \t]+)(.+)$", text, re.IGNORECASE | re.MULTILINE)
    return list(dict.fromkeys(word for words in found for word in words.split() if not re.search(r"[*?!\"#]", word)))


class ColonBashComplete(BashComplete):
    """Completion for bash, whose words may have colons.

    Bash takes a colon for the end of a word: of `board:rp`, click's own script sees `rp` only. Here the script passes
    the line, and of what is offered, what stands before the last colon is left out, because it is there already.
    """

    source_template: ClassVar[str] = BashComplete.source_template.replace(
        'COMP_WORDS="${COMP_WORDS[*]}" COMP_CWORD=$COMP_CWORD', 'COMP_LINE="${COMP_LINE:0:COMP_POINT}"'
    )

    def get_completion_args(self) -> tuple[list[str], str]:
        """Return the complete words of the line after the program's name, and the word that the cursor is at."""
        line = os.environ.get("COMP_LINE")
        if line is None:
            # The script that click itself prints, which people may have saved in their ~/.bashrc.
            if "COMP_WORDS" not in os.environ or not os.environ.get("COMP_CWORD", "").isdigit():
                return [], ""
            args, incomplete = super().get_completion_args()
            return list(args), incomplete
        words = split_arg_string(line)[1:]
        if not words or line[-1:].isspace():
            return words, ""
        return words[:-1], words[-1]

    def get_completions(self, args: list[str], incomplete: str) -> list[CompletionItem[str]]:
        """Return what bash is to put in the place of the word, or of its part after the last colon."""
        value = incomplete.partition("=")[2] if incomplete.startswith("--") else incomplete
        there = value[: value.rfind(":") + 1]
        items: list[CompletionItem[Any]] = super().get_completions(args, incomplete)
        return [
            CompletionItem(item.value.removeprefix(there), type=item.type, help=item.help)
            if item.type == "plain"
            else item
            for item in items
        ]


def register() -> None:
    """Let click complete for bash as this module does."""
    add_completion_class(ColonBashComplete, "bash")
