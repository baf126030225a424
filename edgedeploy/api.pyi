# Written by `python -m edgedeploy.api`: change the table in api.py instead.
from edgedeploy.device.emulator.login import BoardAccess as BoardAccess
from edgedeploy.device.emulator.image_exchange import BoardImage as BoardImage
from edgedeploy.device.emulator.board import BoardStatus as BoardStatus
from edgedeploy.device.emulator.board import BoardStop as BoardStop
from edgedeploy.device.connection import Connection as Connection
from edgedeploy.deploy.status import DeviceStatus as DeviceStatus
from edgedeploy.foundation.errors import EdgedeployError as EdgedeployError
from edgedeploy.workflows.gate.request import GateSettings as GateSettings
from edgedeploy.workflows.init.init import InitSettings as InitSettings
from edgedeploy.stats.paired_ratio import LEAST_PAIRS as LEAST_PAIRS
from edgedeploy.workflows.judges import NOBODY as NOBODY
from edgedeploy.workflows.contract import Proposal as Proposal
from edgedeploy.deploy.push import PushResult as PushResult
from edgedeploy.deploy.status import Running as Running
from edgedeploy.optimize.search.settings import SearchSettings as SearchSettings
from edgedeploy.deploy.contents import StoreContents as StoreContents
from edgedeploy.bundle.signature import allowed_signers as allowed_signers
from edgedeploy.targets.backends import backend_names as backend_names
from edgedeploy.verdict.baseline import baseline_of as baseline_of
from edgedeploy.workflows.measure_verified import bench as bench
from edgedeploy.workflows.measure_verified import bench_against as bench_against
from edgedeploy.device.emulator.board import board_access as board_access
from edgedeploy.device.emulator.board import board_down as board_down
from edgedeploy.device.emulator.image_exchange import board_export as board_export
from edgedeploy.device.emulator.image_exchange import board_import as board_import
from edgedeploy.device.emulator.board import board_list as board_list
from edgedeploy.device.emulator.state import board_names as board_names
from edgedeploy.device.emulator.board import board_status as board_status
from edgedeploy.device.emulator.systems import board_systems as board_systems
from edgedeploy.device.emulator.board import board_up as board_up
from edgedeploy.verdict.check import check as check
from edgedeploy.verdict.baseline import check_baseline as check_baseline
from edgedeploy.workflows.contract import check_hand_over as check_hand_over
from edgedeploy.bundle.signature import check_key as check_key
from edgedeploy.verdict.baseline import compare as compare
from edgedeploy.workflows.compile import compile_bundle as compile
from edgedeploy.device.address import connect as connect
from edgedeploy.deploy.releases import current_release as current_release
from edgedeploy.workflows.data_show.show import data_show as data_show
from edgedeploy.datasets.source import stated_source as data_source
from edgedeploy.workflows.compile import declared_preprocessing as declared_preprocessing
from edgedeploy.workflows.demo.demo import demo as demo
from edgedeploy.workflows.demo.hand_over import demo_hand_over as demo_hand_over
from edgedeploy.measure.evaluate import disagreements as disagreements
from edgedeploy.workflows.doctor import examine as doctor
from edgedeploy.workflows.doctor import jobs as doctor_jobs
from edgedeploy.device.emulator.board import emulated_board as emulated_board
from edgedeploy.optimize.optimize import evidence_path as evidence_path
from edgedeploy.workflows.gate.gate import gate as gate
from edgedeploy.metrics.heads.registry import head_names as head_names
from edgedeploy.workflows.init.init import init_contract as init
from edgedeploy.model.inspect import inspect_model as inspect
from edgedeploy.workflows.judges import judges as judges
from edgedeploy.deploy.releases import list_releases as list_releases
from edgedeploy.verdict.baseline import load_baseline as load_baseline
from edgedeploy.verdict.contract import load_contract as load_contract
from edgedeploy.metrics.heads.registry import load_head as load_head
from edgedeploy.measure.files import load_measurement as load_measurement
from edgedeploy.measure.files import load_runs as load_measurements
from edgedeploy.optimize.recipes.recipe import load_recipe as load_recipe
from edgedeploy.targets.load import load_target as load_target
from edgedeploy.bundle.build import manifest_bytes as manifest_bytes
from edgedeploy.deploy.preflight import measured_peak_bytes as measured_peak_bytes
from edgedeploy.measure.conditions import merge as merge_measurements
from edgedeploy.metrics.registry import metric_names as metric_names
from edgedeploy.model.recorded_name import model_name as model_name
from edgedeploy.workflows.contract import new_contract as new_contract
from edgedeploy.bundle.build import open_bundle as open_bundle
from edgedeploy.optimize.optimize import optimize as optimize
from edgedeploy.deploy.releases import other_release as other_release
from edgedeploy.bundle.build import pack_bundle as pack_bundle
from edgedeploy.targets.roofline import peak_macs_per_s as peak_macs_per_s
from edgedeploy.datasets.preprocessing.presets import preset_names as preset_names
from edgedeploy.device.probe.probe import probe as probe
from edgedeploy.workflows.measure_verified import profile as profile
from edgedeploy.deploy.push import push as push
from edgedeploy.deploy.device_log import read_log as read_log
from edgedeploy.bundle.signature import read_signature as read_signature
from edgedeploy.workflows.smoke.kit import read_result as read_smoke_result
from edgedeploy.optimize.recipes.recipe import recipe_names as recipe_names
from edgedeploy.deploy.releases import releases as releases
from edgedeploy.deploy.releases import rollback as rollback
from edgedeploy.verdict.baseline import save_baseline as save_baseline
from edgedeploy.measure.files import save_measurement as save_measurement
from edgedeploy.workflows.ship.ship import ship as ship
from edgedeploy.bundle.signature import sign as sign
from edgedeploy.bundle.signature import signer as signer
from edgedeploy.workflows.smoke.smoke import smoke as smoke
from edgedeploy.workflows.judges import speed_judge as speed_judge
from edgedeploy.deploy.status import status as status
from edgedeploy.targets.load import target_names as target_names
from edgedeploy.workflows.measure_verified import test as test
from edgedeploy.workflows.trend import trend as trend
from edgedeploy.deploy.unjudged import unconfirmed_in_words as unconfirmed_in_words
from edgedeploy.deploy.uninstall import uninstall as uninstall
from edgedeploy.deploy.uninstall import uninstall_everything as uninstall_everything
from edgedeploy.verdict.baseline import updated as updated_baseline
from edgedeploy.deploy.retry import with_retries as with_retries
from edgedeploy.workflows.smoke.kit import write_kit as write_kit
from edgedeploy.report.exports.html import write_report as write_report
from edgedeploy.report.exports.trend_page import write_trend as write_trend

__all__ = [
    "BoardAccess",
    "BoardImage",
    "BoardStatus",
    "BoardStop",
    "Connection",
    "DeviceStatus",
    "EdgedeployError",
    "GateSettings",
    "InitSettings",
    "LEAST_PAIRS",
    "NOBODY",
    "Proposal",
    "PushResult",
    "Running",
    "SearchSettings",
    "StoreContents",
    "allowed_signers",
    "backend_names",
    "baseline_of",
    "bench",
    "bench_against",
    "board_access",
    "board_down",
    "board_export",
    "board_import",
    "board_list",
    "board_names",
    "board_status",
    "board_systems",
    "board_up",
    "check",
    "check_baseline",
    "check_hand_over",
    "check_key",
    "compare",
    "compile",
    "connect",
    "current_release",
    "data_show",
    "data_source",
    "declared_preprocessing",
    "demo",
    "demo_hand_over",
    "disagreements",
    "doctor",
    "doctor_jobs",
    "emulated_board",
    "evidence_path",
    "gate",
    "head_names",
    "init",
    "inspect",
    "judges",
    "list_releases",
    "load_baseline",
    "load_contract",
    "load_head",
    "load_measurement",
    "load_measurements",
    "load_recipe",
    "load_target",
    "manifest_bytes",
    "measured_peak_bytes",
    "merge_measurements",
    "metric_names",
    "model_name",
    "new_contract",
    "open_bundle",
    "optimize",
    "other_release",
    "pack_bundle",
    "peak_macs_per_s",
    "preset_names",
    "probe",
    "profile",
    "push",
    "read_log",
    "read_signature",
    "read_smoke_result",
    "recipe_names",
    "releases",
    "rollback",
    "save_baseline",
    "save_measurement",
    "ship",
    "sign",
    "signer",
    "smoke",
    "speed_judge",
    "status",
    "target_names",
    "test",
    "trend",
    "unconfirmed_in_words",
    "uninstall",
    "uninstall_everything",
    "updated_baseline",
    "with_retries",
    "write_kit",
    "write_report",
    "write_trend",
]

def stub() -> str: ...
