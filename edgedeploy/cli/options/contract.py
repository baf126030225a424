"""Options that commands share which take a contract, or ship what one names."""

from __future__ import annotations

import click

from edgedeploy.cli.completion import complete_backend

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
