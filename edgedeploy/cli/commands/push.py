"""`edgedeploy push`: send a bundle to a device and make it current."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgedeploy.cli.catalog import examples
from edgedeploy.cli.options.byte_amounts import ByteRate, ByteSize
from edgedeploy.cli.options.device import device_argument
from edgedeploy.cli.output import Output, common_options, device_options
from edgedeploy.foundation.units import bytes_in_words

if TYPE_CHECKING:
    from edgedeploy import api


@click.command(
    name="push",
    epilog=examples(
        "edgedeploy push small.bundle board:rpi4",
        "edgedeploy push small.edge ssh://pi@192.0.2.7 --retries 5 --bandwidth 500K \\",
        "    --confirm 'systemctl restart camera && systemctl is-active camera'",
    ),
)
@click.argument("bundle", type=click.Path(path_type=Path))
@device_argument()
@click.option(
    "--measured",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A measurement of this model on another device. A device with less memory than its peak is refused.",
)
@click.option(
    "--max-memory",
    type=ByteSize(),
    metavar="SIZE",
    help="Refuse the bundle if its health check takes more memory than SIZE, e.g. 80M.",
)
@click.option(
    "--confirm",
    metavar="COMMAND",
    help="Run COMMAND on the device after the switch, e.g. to restart your application and test it. If it fails, the "
    "previous release becomes current again; a release that was current and confirmed before stays.",
)
@click.option("--require-signature", is_flag=True, help="Refuse BUNDLE unless an allowed signer signed it.")
@click.option(
    "--allowed-signers",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="The allowed signers. Default: $EDGEDEPLOY_ALLOWED_SIGNERS, or ~/.config/edgedeploy/allowed_signers.",
)
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="How often to retry after a lost connection. Each wait is longer than the one before.",
)
@click.option(
    "--bandwidth",
    type=ByteRate(),
    metavar="RATE",
    help="Maximum bytes sent per second, e.g. 500K or 2M. Default: no limit.",
)
@click.option(
    "--keep",
    type=click.IntRange(min=2),
    default=5,
    show_default=True,
    metavar="N",
    help="How many releases of the model stay on the device. The current and the previous one always stay.",
)
@click.option(
    "--new-interface",
    is_flag=True,
    help="Replace a model of the same name that takes or gives other tensors. Default: such a bundle is refused.",
)
@device_options
@common_options
def command(
    bundle: Path,
    device: str,
    measured: Path | None,
    max_memory: int | None,
    confirm: str | None,
    require_signature: bool,
    allowed_signers: Path | None,
    retries: int,
    bandwidth: int | None,
    keep: int,
    new_interface: bool,
    accept_new: bool,
    out: Output,
) -> int:
    """Send BUNDLE to a device and make it the current release.

    Only the files that the device lacks are sent. An interrupted push resumes where it stopped. The device verifies
    every byte, loads the model and runs it; then one rename makes the release current. If anything fails, the
    previous release stays current or becomes current again. A signature beside BUNDLE is sent too. A device with a
    file of allowed signers checks it.
    """
    from edgedeploy import api

    opened = api.open_bundle(bundle)
    signature = api.read_signature(bundle)
    if require_signature or allowed_signers is not None:
        signers = api.allowed_signers(allowed_signers)
        who = api.signer(api.manifest_bytes(opened), signature, signers, bundle)
        out.note(f"{bundle} is signed by {who}")
    peak_bytes = api.measured_peak_bytes(api.load_measurement(measured), opened.manifest) if measured else None

    def attempt() -> api.PushResult:
        with api.connect(device, accept_new=accept_new, progress=out) as connection:
            return api.push(
                opened,
                connection,
                peak_memory_bytes=peak_bytes,
                max_memory_bytes=max_memory,
                confirm=confirm,
                keep=keep,
                bandwidth_bytes_per_s=bandwidth,
                signature=signature,
                new_interface=new_interface,
                progress=out,
            )

    result = api.with_retries(attempt, retries, progress=out)
    release = result.release
    sent = f"{result.sent_files} files, {bytes_in_words(result.sent_bytes)} sent; {result.kept_files} already there"
    if result.resumed_bytes:
        sent += f", and {bytes_in_words(result.resumed_bytes)} from an interrupted push"
    if result.activated:
        before = f"; the previous release is {release.parent}" if release.parent else ""
        text = f"{release.name} {release.id} is current on {device} ({sent}){before}"
    else:
        text = f"{release.name} {release.id} was already current on {device} ({sent})"
    if result.signer:
        text += f"; the device verified the signature of {result.signer}"
    if result.retired:
        text += f"\nremoved old releases (--keep {keep}): {', '.join(result.retired)}"
    out.result(result, text)
    return 0
