"""The library: every arrow of the way through is a function here, with the name of its command.

    model ──optimize(recipe, dataset)──> model + evidence ──compile(target)──> bundle ──push(device)──> release
          ──bench, test──> measurement ──check(contract)──> verdict ──> report

They take and return the frozen values of `edgedeploy.values`; `ship` walks all of it. Importing this module imports
none of onnx, onnxruntime or paramiko: a function's room is loaded when the function is first named.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from edgedeploy.bundle.build import open_bundle, pack_bundle
    from edgedeploy.compile.build import compile_model as compile
    from edgedeploy.deploy.device_log import read_log
    from edgedeploy.deploy.push import push
    from edgedeploy.deploy.releases import current_release, releases, rollback
    from edgedeploy.deploy.status import status
    from edgedeploy.deploy.uninstall import uninstall
    from edgedeploy.device.address import connect
    from edgedeploy.device.emulator.board import emulated_board
    from edgedeploy.device.probe.probe import probe
    from edgedeploy.foundation.errors import EdgedeployError
    from edgedeploy.measure.bench import bench
    from edgedeploy.measure.evaluate import test
    from edgedeploy.measure.profile import profile
    from edgedeploy.model.inspect import inspect_model as inspect
    from edgedeploy.optimize.optimize import optimize
    from edgedeploy.optimize.recipes.recipe import load_recipe, recipe_names
    from edgedeploy.report.exports.html import write_report
    from edgedeploy.targets.load import load_target, target_names
    from edgedeploy.verdict.baseline import baseline_of, check_baseline, compare, load_baseline, save_baseline
    from edgedeploy.verdict.check import check
    from edgedeploy.verdict.contract import load_contract
    from edgedeploy.workflows.emulated.instruction_counts import speed_judge
    from edgedeploy.workflows.ship import ship
    from edgedeploy.workflows.smoke.smoke import smoke

_WHERE = {
    "EdgedeployError": ("foundation.errors", "EdgedeployError"),
    "baseline_of": ("verdict.baseline", "baseline_of"),
    "bench": ("measure.bench", "bench"),
    "check": ("verdict.check", "check"),
    "profile": ("measure.profile", "profile"),
    "check_baseline": ("verdict.baseline", "check_baseline"),
    "compare": ("verdict.baseline", "compare"),
    "compile": ("compile.build", "compile_model"),
    "connect": ("device.address", "connect"),
    "current_release": ("deploy.releases", "current_release"),
    "emulated_board": ("device.emulator.board", "emulated_board"),
    "inspect": ("model.inspect", "inspect_model"),
    "load_baseline": ("verdict.baseline", "load_baseline"),
    "load_contract": ("verdict.contract", "load_contract"),
    "load_recipe": ("optimize.recipes.recipe", "load_recipe"),
    "load_target": ("targets.load", "load_target"),
    "open_bundle": ("bundle.build", "open_bundle"),
    "optimize": ("optimize.optimize", "optimize"),
    "pack_bundle": ("bundle.build", "pack_bundle"),
    "probe": ("device.probe.probe", "probe"),
    "push": ("deploy.push", "push"),
    "read_log": ("deploy.device_log", "read_log"),
    "recipe_names": ("optimize.recipes.recipe", "recipe_names"),
    "releases": ("deploy.releases", "releases"),
    "rollback": ("deploy.releases", "rollback"),
    "save_baseline": ("verdict.baseline", "save_baseline"),
    "ship": ("workflows.ship", "ship"),
    "smoke": ("workflows.smoke.smoke", "smoke"),
    "speed_judge": ("workflows.emulated.instruction_counts", "speed_judge"),
    "status": ("deploy.status", "status"),
    "target_names": ("targets.load", "target_names"),
    "test": ("measure.evaluate", "test"),
    "uninstall": ("deploy.uninstall", "uninstall"),
    "write_report": ("report.exports.html", "write_report"),
}

__all__ = [
    "EdgedeployError",
    "baseline_of",
    "bench",
    "check",
    "check_baseline",
    "compare",
    "compile",
    "connect",
    "current_release",
    "emulated_board",
    "inspect",
    "load_baseline",
    "load_contract",
    "load_recipe",
    "load_target",
    "open_bundle",
    "optimize",
    "pack_bundle",
    "probe",
    "profile",
    "push",
    "read_log",
    "recipe_names",
    "releases",
    "rollback",
    "save_baseline",
    "ship",
    "smoke",
    "speed_judge",
    "status",
    "target_names",
    "test",
    "uninstall",
    "write_report",
]


def __getattr__(name: str) -> Any:
    if name not in _WHERE:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, attribute = _WHERE[name]
    value = getattr(importlib.import_module(f"edgedeploy.{module}"), attribute)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return __all__
