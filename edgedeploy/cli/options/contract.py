"""Options that commands share which take a contract, or ship what one names."""

from __future__ import annotations

from pathlib import Path

import click

from edgedeploy.cli.completion import complete_backend, complete_target

allow_code_option = click.option(
    "--allow-code", is_flag=True, help="Import and run the Python code that CONTRACT names."
)
backend_option = click.option(
    "--backend",
    metavar="auto|NAME",
    default="auto",
    show_default=True,
    shell_complete=complete_backend,
    help="auto, or a backend that `edgedeploy targets NAME` lists.",
)
targets_with_limits_option = click.option(
    "--target",
    "targets",
    multiple=True,
    metavar="NAME",
    shell_complete=complete_target,
    help="Add a table of limits for this target. Repeat it for more.",
)
new_contract_option = click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path),
    default=Path("contract.toml"),
    show_default=True,
    metavar="FILE",
    help="The file to write. Model and data must be in its folder or below.",
)
