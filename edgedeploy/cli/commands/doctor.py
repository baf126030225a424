"""`edgedeploy doctor`: show what this machine lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgedeploy.cli.catalog import examples
from edgedeploy.cli.completion import complete_job
from edgedeploy.cli.output import Output, common_options

if TYPE_CHECKING:
    from rich.console import RenderableType


@click.command(
    name="doctor",
    epilog=examples(
        "edgedeploy doctor",
        "edgedeploy doctor boards devices",
    ),
)
@click.argument("jobs", nargs=-1, metavar="[JOB]…", shell_complete=complete_job)
@common_options
def command(jobs: tuple[str, ...], out: Output) -> int:
    """Show which programs, packages, keys and disk space this machine lacks, each with the command to install it.

    JOB is one of: models, tflite, conversion, native, boards, devices. With `boards`, the network is asked whether the
    packages that boards are made from can be had. Exits 0 when nothing is missing for these jobs,
    1 otherwise. Without JOB, all are shown, and the exit code is that of models.
    """
    from rich.table import Table
    from rich.text import Text

    from edgedeploy import api
    from edgedeploy.foundation.errors import UnknownNameError

    known = api.doctor_jobs()
    if unknown := [job for job in jobs if job not in known]:
        raise UnknownNameError(f"there is no job {unknown[0]!r}", hint=f"the jobs are: {', '.join(known)}")
    diagnosis = api.doctor(ask_network="boards" in jobs)
    missing = diagnosis.missing(jobs or ("models",))
    shown: list[RenderableType] = []
    for job in jobs or known:
        table = Table(box=None, pad_edge=False, show_header=False, padding=(0, 2, 0, 0))
        for finding in (one for one in diagnosis.findings if one.job == job):
            mark = {"ready": "✓", "limited": "!", "missing": "✗"}[finding.state]
            table.add_row(mark, finding.what, f"{finding.detail}{f' → {finding.hint}' if finding.hint else ''}")
        shown += [Text(f"{job}: {known[job]}", style="bold"), table, ""]
    head = f"edgedeploy {diagnosis.edgedeploy} on {diagnosis.machine}\n"
    lost = dict.fromkeys(one.job for one in diagnosis.missing(jobs or tuple(known)))
    end = f"cannot be done here: {', '.join(lost)}" if lost else "nothing is missing"
    out.result(diagnosis, head, *shown, end)
    return 1 if missing else 0
