"""Run the main job on what the demo is handed over."""

from __future__ import annotations

import contextlib
from pathlib import Path

from edgedeploy.device.address import connect
from edgedeploy.device.emulator.board import board_up, emulated_board
from edgedeploy.foundation.programs import need
from edgedeploy.foundation.progress import SILENT, Progress
from edgedeploy.values.shipment import Shipment
from edgedeploy.verdict.contract import load_contract
from edgedeploy.workflows.demo.hand_over import demo_hand_over
from edgedeploy.workflows.ship.ship import ship

BOARD = "rpi4"


def demo(
    folder: Path,
    device: str | None = None,
    *,
    keep_board: bool = False,
    accept_new: bool = False,
    progress: Progress = SILENT,
) -> Shipment:
    """Ship the demo's model to a device.

    Args:
        folder: gets the model, its data and its contract, and, in `work/`, the optimized model and the bundle.
        device: an address, as `connect` takes it. By default an emulated Raspberry Pi 4, which is built, booted, and
            shut down at the end unless it was up before.
        keep_board: leave that board up.

    Returns:
        What `ship` returns.

    Raises:
        EdgedeployError: any kind, as `demo_hand_over`, `board_up` and `ship`.
    """
    # What cannot work is known before anything is fetched.
    if device is None:
        need("qemu-system-aarch64", "mke2fs", "dpkg-deb")
    else:
        with connect(device, accept_new=accept_new, progress=progress):
            pass
    contract = load_contract(demo_hand_over(folder, progress))
    with contextlib.ExitStack() as stack:
        if device is None:
            device = f"board:{BOARD}"
            if keep_board:
                board_up(BOARD, progress=progress)
            else:
                stack.enter_context(emulated_board(BOARD, progress=progress))
        return ship(contract, device, work=folder / "work", accept_new=accept_new, progress=progress)
