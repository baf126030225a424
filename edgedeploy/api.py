"""The library: every arrow of the way through is a function here, with the name of its command.

    model ──optimize(recipe, dataset)──> model + evidence ──compile(target)──> bundle ──push(device)──> release
          ──bench, test──> measurement ──check(contract)──> verdict ──> report

The functions take and return the frozen values of `edgedeploy.values`; `ship` walks all of the way. Importing this
module imports none of onnx, onnxruntime or paramiko: the module behind a name is loaded when the name is first used.

`_NAMES` is the one table of what the library offers. Type checkers read `api.pyi`, which is written from it:

    python -m edgedeploy.api >edgedeploy/api.pyi
"""

from __future__ import annotations

import importlib
from typing import Any

_NAMES = {
    # name: "module of edgedeploy:name in it"
    "allowed_signers": "bundle.signature:allowed_signers",
    "baseline_of": "verdict.baseline:baseline_of",
    "backend_names": "targets.backends:backend_names",
    "bench": "workflows.measure_verified:bench",
    "bench_against": "workflows.measure_verified:bench_against",
    "board_access": "device.emulator.board:board_access",
    "board_down": "device.emulator.board:board_down",
    "board_export": "device.emulator.image_exchange:board_export",
    "board_import": "device.emulator.image_exchange:board_import",
    "board_list": "device.emulator.board:board_list",
    "board_names": "device.emulator.state:board_names",
    "board_status": "device.emulator.board:board_status",
    "board_systems": "device.emulator.systems:board_systems",
    "board_up": "device.emulator.board:board_up",
    "BoardAccess": "device.emulator.login:BoardAccess",
    "BoardImage": "device.emulator.image_exchange:BoardImage",
    "BoardStatus": "device.emulator.board:BoardStatus",
    "BoardStop": "device.emulator.board:BoardStop",
    "check": "verdict.check:check",
    "check_baseline": "verdict.baseline:check_baseline",
    "check_hand_over": "workflows.contract:check_hand_over",
    "check_key": "bundle.signature:check_key",
    "compare": "verdict.baseline:compare",
    "compile": "workflows.compile:compile_bundle",
    "connect": "device.address:connect",
    "data_show": "workflows.data_show.show:data_show",
    "data_source": "datasets.source:stated_source",
    "demo": "workflows.demo.demo:demo",
    "demo_hand_over": "workflows.demo.hand_over:demo_hand_over",
    "Connection": "device.connection:Connection",
    "current_release": "deploy.releases:current_release",
    "declared_preprocessing": "workflows.compile:declared_preprocessing",
    "DeviceStatus": "deploy.status:DeviceStatus",
    "disagreements": "measure.evaluate:disagreements",
    "doctor": "workflows.doctor:examine",
    "doctor_jobs": "workflows.doctor:jobs",
    "EdgedeployError": "foundation.errors:EdgedeployError",
    "emulated_board": "device.emulator.board:emulated_board",
    "evidence_path": "optimize.optimize:evidence_path",
    "gate": "workflows.gate.gate:gate",
    "GateSettings": "workflows.gate.request:GateSettings",
    "init": "workflows.init.init:init_contract",
    "InitSettings": "workflows.init.init:InitSettings",
    "inspect": "model.inspect:inspect_model",
    "judges": "workflows.judges:judges",
    "LEAST_PAIRS": "stats.paired_ratio:LEAST_PAIRS",
    "list_releases": "deploy.releases:list_releases",
    "load_baseline": "verdict.baseline:load_baseline",
    "load_contract": "verdict.contract:load_contract",
    "load_measurement": "measure.files:load_measurement",
    "load_measurements": "measure.files:load_runs",
    "load_recipe": "optimize.recipes.recipe:load_recipe",
    "load_target": "targets.load:load_target",
    "manifest_bytes": "bundle.build:manifest_bytes",
    "measured_peak_bytes": "deploy.preflight:measured_peak_bytes",
    "merge_measurements": "measure.conditions:merge",
    "metric_names": "metrics.registry:metric_names",
    "head_names": "metrics.heads.registry:head_names",
    "load_head": "metrics.heads.registry:load_head",
    "model_name": "model.recorded_name:model_name",
    "NOBODY": "workflows.judges:NOBODY",
    "new_contract": "workflows.contract:new_contract",
    "open_bundle": "bundle.build:open_bundle",
    "optimize": "optimize.optimize:optimize",
    "other_release": "deploy.releases:other_release",
    "pack_bundle": "bundle.build:pack_bundle",
    "peak_macs_per_s": "targets.roofline:peak_macs_per_s",
    "preset_names": "datasets.preprocessing.presets:preset_names",
    "probe": "device.probe.probe:probe",
    "profile": "workflows.measure_verified:profile",
    "Proposal": "workflows.contract:Proposal",
    "push": "deploy.push:push",
    "PushResult": "deploy.push:PushResult",
    "read_log": "deploy.device_log:read_log",
    "read_signature": "bundle.signature:read_signature",
    "read_smoke_result": "workflows.smoke.kit:read_result",
    "recipe_names": "optimize.recipes.recipe:recipe_names",
    "releases": "deploy.releases:releases",
    "rollback": "deploy.releases:rollback",
    "Running": "deploy.status:Running",
    "save_baseline": "verdict.baseline:save_baseline",
    "save_measurement": "measure.files:save_measurement",
    "SearchSettings": "optimize.search.settings:SearchSettings",
    "ship": "workflows.ship.ship:ship",
    "sign": "bundle.signature:sign",
    "signer": "bundle.signature:signer",
    "smoke": "workflows.smoke.smoke:smoke",
    "speed_judge": "workflows.judges:speed_judge",
    "status": "deploy.status:status",
    "StoreContents": "deploy.contents:StoreContents",
    "target_names": "targets.load:target_names",
    "test": "workflows.measure_verified:test",
    "unconfirmed_in_words": "deploy.unjudged:unconfirmed_in_words",
    "trend": "workflows.trend:trend",
    "uninstall": "deploy.uninstall:uninstall",
    "uninstall_everything": "deploy.uninstall:uninstall_everything",
    "updated_baseline": "verdict.baseline:updated",
    "with_retries": "deploy.retry:with_retries",
    "write_kit": "workflows.smoke.kit:write_kit",
    "write_report": "report.exports.html:write_report",
    "write_trend": "report.exports.trend_page:write_trend",
}

__all__ = sorted(_NAMES)


def __getattr__(name: str) -> Any:
    if name not in _NAMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _NAMES[name].split(":")
    value = getattr(importlib.import_module(f"edgedeploy.{module}"), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__


def stub() -> str:
    """Write out the table as a stub file, one import for each name."""
    lines = ["# Written by `python -m edgedeploy.api`: change the table in api.py instead."]
    for name in __all__:
        module, attribute = _NAMES[name].split(":")
        lines.append(f"from edgedeploy.{module} import {attribute} as {name}")
    lines += ["", "__all__ = [", *(f'    "{name}",' for name in __all__), "]", "", "def stub() -> str: ..."]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    print(stub(), end="")
