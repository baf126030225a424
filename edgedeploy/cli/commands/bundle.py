"""`edgedeploy bundle`: show, verify, pack and sign bundles."""

from __future__ import annotations

import importlib.resources
from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgedeploy.cli.catalog import examples
from edgedeploy.cli.output import Output, common_options
from edgedeploy.foundation.units import bytes_in_words

if TYPE_CHECKING:
    from rich.console import RenderableType

    from edgedeploy.values.bundle import Bundle

_FILES_SHOWN = 12


@click.group(
    name="bundle",
    epilog=examples(
        "edgedeploy bundle show small.bundle",
        "edgedeploy bundle pack small.bundle -o small.edge",
    ),
)
def command() -> None:
    """Show, verify, pack or sign a bundle: a folder, or one file (NAME.edge)."""


@command.command(
    epilog=examples(
        "edgedeploy bundle show small.bundle",
    )
)
@click.argument("bundle", type=click.Path(path_type=Path), metavar="BUNDLE")
@common_options
def show(bundle: Path, out: Output) -> int:
    """Show the model, runtime, requirements and largest files of BUNDLE. File contents are not read: see `verify`."""
    from edgedeploy import api

    opened = api.open_bundle(bundle, verify=False)
    out.result(opened, bundle_table(opened), "", _files(opened))
    return 0


@command.command(
    epilog=examples(
        "edgedeploy bundle verify small.edge --allowed-signers allowed_signers",
    )
)
@click.argument("bundle", type=click.Path(path_type=Path), metavar="BUNDLE")
@click.option(
    "--allowed-signers",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Require a signature by one of the signers in FILE (format: ssh-keygen(1), ALLOWED SIGNERS).",
)
@common_options
def verify(bundle: Path, allowed_signers: Path | None, out: Output) -> int:
    """Read all of BUNDLE and compare it with its manifest.

    Every file must be listed there, with the same SHA-256.

    The SHA-256 printed last is that of the manifest. It identifies the bundle: compare it with the one that its maker
    gave you, or check the maker's signature with --allowed-signers.
    """
    from edgedeploy import api

    opened = api.open_bundle(bundle)
    files = f"{len(opened.manifest.files) + 1} files, {bytes_in_words(opened.size_bytes)}"
    signed = ""
    if allowed_signers is not None:
        who = api.signer(api.manifest_bytes(opened), api.read_signature(bundle), allowed_signers, bundle)
        signed = f"signed by {who}, "
    out.result(opened, f"{bundle} is complete: {signed}{files}, sha256 {opened.sha256}")
    return 0


@command.command(
    epilog=examples(
        "edgedeploy bundle sign small.edge --key ~/.ssh/id_ed25519",
    )
)
@click.argument("bundle", type=click.Path(path_type=Path), metavar="BUNDLE")
@click.option(
    "--key",
    required=True,
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A private SSH key, or a public one whose private key is in the SSH agent.",
)
@common_options
def sign(bundle: Path, key: Path, out: Output) -> int:
    """Verify BUNDLE and sign it with an SSH key.

    The signature is written to BUNDLE.sig beside the bundle.
    """
    from edgedeploy import api

    opened = api.open_bundle(bundle)
    path = api.sign(api.manifest_bytes(opened), bundle, key)
    out.result({"bundle": opened.sha256, "signature": str(path)}, f"wrote {path} for sha256 {opened.sha256}")
    return 0


@command.command(
    epilog=examples(
        "edgedeploy bundle pack small.bundle -o small.edge",
    )
)
@click.argument("bundle", type=click.Path(path_type=Path), metavar="BUNDLE")
@click.option(
    "-o", "--output", required=True, type=click.Path(path_type=Path), metavar="NAME.edge", help="The file to write."
)
@common_options
def pack(bundle: Path, output: Path, out: Output) -> int:
    """Verify BUNDLE, which is a folder, and write it as one file."""
    from edgedeploy import api

    packed = api.pack_bundle(api.open_bundle(bundle), output)
    out.result(packed, f"wrote {output}: {bytes_in_words(packed.size_bytes)}, sha256 {packed.sha256}")
    return 0


@command.command(
    epilog=examples(
        "edgedeploy bundle schema > manifest.schema.json",
    )
)
@common_options
def schema(out: Output) -> int:
    """Print the JSON Schema of a bundle's manifest.json."""
    import json

    text = (importlib.resources.files("edgedeploy") / "values" / "manifest.schema.json").read_text(encoding="utf-8")
    if out.as_json:
        out.result(json.loads(text), "")
    else:
        # As it is: a table's line breaks in the middle of a string would make it no JSON.
        click.echo(text, nl=False)
    return 0


def bundle_table(bundle: Bundle) -> RenderableType:
    """Return the table about a bundle that `compile` and `bundle show` print."""
    from rich.table import Table
    from rich.text import Text

    from edgedeploy.report.content.preprocessing import preprocessing_in_words

    manifest = bundle.manifest
    source = "unknown: the model has no evidence file"
    if manifest.source:
        smaller = 1 - manifest.model.size_bytes / manifest.source.size_bytes
        source = f"{manifest.source.recipe}, {smaller:.1%} smaller than the float model"
    runtime = manifest.runtime
    inside = next((each.preprocessing for each in manifest.model.inputs if each.preprocessing is not None), None)
    prepared = preprocessing_in_words(manifest.preprocessing, inside)
    packages = ", ".join(f"{package} {version}" for package, version in runtime.packages.items())
    rows = {
        "bundle": str(bundle.path),
        "release": f"{manifest.name} {manifest.version}",
        "target": f"{manifest.target} ({manifest.architecture})",
        "model": f"{bytes_in_words(manifest.model.size_bytes)}, {manifest.model.parameters:,} parameters",
        "recipe": source,
        "backend": f"{runtime.backend}: {runtime.chosen}" if runtime.chosen else runtime.backend,
        "runtime": "; ".join(part for part in (packages, _where(bundle)) if part)
        or "none: the program needs no runtime",
        "settings": ", ".join(f"{name} {_plain(value)}" for name, value in runtime.settings.items()) or "none",
        "needs": _needs(bundle),
        **({"preprocessing": prepared} if prepared else {}),
        "golden": f"{manifest.golden_samples} samples",
        "size": f"{bytes_in_words(bundle.size_bytes)} in {len(manifest.files) + 1} files",
        "sha256": bundle.sha256,
    }
    table = Table(box=None, show_header=False, pad_edge=False)
    table.add_column(style="bold")
    table.add_column()
    for key, value in rows.items():
        table.add_row(key, Text(value))
    return table


def _where(bundle: Bundle) -> str:
    runtime = bundle.manifest.runtime
    parts = [f"Python {runtime.python}"] if runtime.python else []
    parts += [f"glibc {runtime.glibc} or newer"] if runtime.glibc else []
    return f"for {', '.join(parts)}" if parts else ""


def _needs(bundle: Bundle) -> str:
    needs = bundle.manifest.needs
    parts = [*needs.cpu_features]
    parts += [f"pages of at most {needs.page_size_bytes} bytes"] if needs.page_size_bytes else []
    parts += [f"{bytes_in_words(needs.memory_bytes)} of memory"] if needs.memory_bytes else []
    return ", ".join(parts) or "no known requirement"


def _plain(value: object) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _files(bundle: Bundle) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, pad_edge=False)
    for heading in ("file", "size", "sha256"):
        table.add_column(heading, justify="right" if heading == "size" else "left")
    largest = sorted(bundle.manifest.files, key=lambda entry: (-entry.size_bytes, entry.path))
    for entry in largest[:_FILES_SHOWN]:
        table.add_row(Text(entry.path), bytes_in_words(entry.size_bytes), entry.sha256[:12])
    if rest := largest[_FILES_SHOWN:]:
        table.add_row(f"… {len(rest)} more", bytes_in_words(sum(entry.size_bytes for entry in rest)), "")
    return table
