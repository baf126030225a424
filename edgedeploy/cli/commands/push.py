"""`edgedeploy push`: a bundle onto a device."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import click

from edgedeploy.cli.options.byte_amounts import ByteRate, ByteSize
from edgedeploy.cli.output import Output, common_options, device_options
from edgedeploy.foundation.units import bytes_in_words

if TYPE_CHECKING:
    from edgedeploy import api


@click.command(name="push")
@click.argument("bundle", type=click.Path(path_type=Path))
@click.option("--to", "device", required=True, metavar="DEVICE", help="ssh://user@host:port, board:NAME, local:, …")
@click.option(
    "--measured",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="A measurement of this model on another device: one with less memory than its peak is refused.",
)
@click.option(
    "--max-memory",
    type=ByteSize(),
    metavar="SIZE",
    help="Refuse it when its health check takes more memory there than this: 80M.",
)
@click.option(
    "--confirm",
    metavar="COMMAND",
    help="Run COMMAND there once it is current, as to start your application anew and see that it works; when that "
    "fails, what was current before becomes so again.",
)
@click.option("--require-signature", is_flag=True, help="Refuse BUNDLE unless one of the allowed signers signed it.")
@click.option(
    "--allowed-signers",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Who may have signed it. Default: $EDGEDEPLOY_ALLOWED_SIGNERS, or ~/.config/edgedeploy/allowed_signers.",
)
@click.option(
    "--retries",
    type=click.IntRange(min=0),
    default=0,
    show_default=True,
    metavar="N",
    help="How often to go on after the connection was lost, each time after a longer wait.",
)
@click.option(
    "--bandwidth",
    type=ByteRate(),
    metavar="RATE",
    help="Send at most so many bytes a second: 500K, 2M. Default: as fast as it goes.",
)
@click.option(
    "--keep",
    type=click.IntRange(min=2),
    default=5,
    show_default=True,
    metavar="N",
    help="How many releases of the model stay there; the current one and the one before always do.",
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
    accept_new: bool,
    out: Output,
) -> int:
    """Put BUNDLE on a device and make it current.

    Only what the device lacks is sent; a push that was cut is gone on with where it was. Every byte is verified
    there, the model is loaded and run there, and then one rename makes it current. When anything fails, what was
    current before still is, or is so again. A signature beside BUNDLE goes with it, and is checked on the device too
    where that has a file of allowed signers.
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
                progress=out,
            )

    result = api.with_retries(attempt, retries, progress=out)
    release = result.release
    sent = f"{result.sent_files} files, {bytes_in_words(result.sent_bytes)} sent; {result.kept_files} were there"
    if result.resumed_bytes:
        sent += f", and {bytes_in_words(result.resumed_bytes)} of a push that was cut"
    if result.activated:
        before = f"; before it was {release.parent}" if release.parent else ""
        text = f"{release.name} {release.id} is current on {device} ({sent}){before}"
    else:
        text = f"{release.name} {release.id} was current on {device} already ({sent})"
    if result.signer:
        text += f"; signed by {result.signer}, the device says"
    if result.retired:
        text += f"\nremoved, with {keep} kept: {', '.join(result.retired)}"
    out.result(result, text)
    return 0
