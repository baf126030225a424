"""`edgedeploy status`: show what runs on a device."""

from __future__ import annotations

from typing import TYPE_CHECKING

import click

from edgedeploy.cli.altered import altered_lines
from edgedeploy.cli.catalog import examples
from edgedeploy.cli.options.device import device_argument
from edgedeploy.cli.output import Output, common_options, device_options
from edgedeploy.foundation.sanitize import printable
from edgedeploy.foundation.units import bytes_in_words

if TYPE_CHECKING:
    from edgedeploy import api


@click.command(
    name="status",
    epilog=examples(
        "edgedeploy status board:rpi4",
        "edgedeploy status ssh://pi@192.0.2.7 --health",
    ),
)
@device_argument()
@click.option("--health", is_flag=True, help="Verify each current release's files, load it and run its golden inputs.")
@device_options
@common_options
def command(device: str, health: bool, accept_new: bool, out: Output) -> int:
    """Show the current releases on DEVICE, since when and by whom, their health, and the free disk space.

    Exits 1 when nothing runs there, a release is damaged, or (with --health) a release is not healthy. Without
    --health, the files of each release are compared with its manifest by name, kind and mode; with it, those of the
    current releases also by their SHA-256. No release is changed.
    """
    from edgedeploy import api

    with api.connect(device, accept_new=accept_new, progress=out) as connection:
        found = api.status(connection, check_health=health, progress=out)
    out.result(found, "\n".join(_lines(found)))
    unhealthy = any(one.healthy_now is False for one in found.running)
    return 1 if unhealthy or found.damaged or found.altered or not found.running else 0


def _lines(found: api.DeviceStatus) -> list[str]:
    lines: list[str] = []
    for one in found.running:
        lines += _running(one)
    if not found.running:
        lines.append(f"nothing runs on {found.device} yet: edgedeploy push BUNDLE {found.device}")
    lines += [f"damaged     {name} (push its bundle again)" for name in found.damaged]
    lines += [f"damaged     {line}" for line in altered_lines(found.altered)]
    others = f", {found.other_releases} more {'release' if found.other_releases == 1 else 'releases'}"
    if found.used_bytes is not None and found.free_bytes is not None:
        lines.append(
            f"disk        {bytes_in_words(found.used_bytes)} used{others if found.other_releases else ''}, "
            f"{bytes_in_words(found.free_bytes)} free"
        )
    if found.store.files or found.store.partial_bytes:
        lines.append(_store(found.store))
    if found.busy:
        lines.append(f"lock        held by {found.busy}")
    return lines


def _store(store: api.StoreContents) -> str:
    line = f"store       {store.files} files, {bytes_in_words(store.size_bytes)}"
    if store.unneeded_files:
        line += f"; {bytes_in_words(store.unneeded_bytes)} in {store.unneeded_files} that no release needs"
    if store.partial_bytes:
        line += f"; {bytes_in_words(store.partial_bytes)} of interrupted transfers"
    return line


def _running(one: api.Running) -> list[str]:
    from edgedeploy.report.content.wording import outcome_in_words
    from edgedeploy.values.contract import Outcome

    release, manifest = one.release, one.release.manifest
    source = f", recipe {manifest.source.recipe}" if manifest.source else ""
    lines = [
        f"{release.name} {release.id}",
        _row("for", f"{manifest.target}, {manifest.runtime.backend}{source}"),
        _row("since", f"{one.since or 'not in the log'}{f', by {one.by}' if one.by else ''}"),
    ]
    if (contract := manifest.contract) is not None:
        owner = f", owner {printable(contract.owner)}" if contract.owner else ""
        lines.append(_row("contract", f"{printable(contract.file)} (SHA-256 {contract.sha256[:12]}){owner}"))
    if one.unconfirmed:
        lines.append(_row("verdict", f"{'✗' if release.verdict == 'breaks' else '?'} {one.unconfirmed}"))
    elif release.verdict:
        lines.append(_row("verdict", outcome_in_words(Outcome(release.verdict))))
    if one.health:
        lines.append(_row("health at activation", one.health))
    if one.health_now is not None:
        lines.append(_row("health now", f"{'✓' if one.healthy_now else '✗'} {one.health_now}"))
    lines += [_row("previous release", release.parent or "none"), _row("path", release.path)]
    return lines


def _row(label: str, value: str) -> str:
    return f"  {label:<20}  {value}"
