from __future__ import annotations

import datetime
from pathlib import Path

import pytest

from edgedeploy.foundation.errors import InvalidFileError
from edgedeploy.values.contract import LIMIT_RULES, Limits, TargetLimits, stated_limits
from edgedeploy.values.data import DataSource
from edgedeploy.values.head import Head
from edgedeploy.verdict.contract import dataset_spec, has_expired, load_contract, named_code

ROOT = Path(__file__).parents[2]
CONTRACT = f"""\
schema = 1
[model]
name = "model"
version = "1"
framework = "PyTorch"
file = "model.onnx"
sha256 = "{"a" * 64}"
parameters = 100_000
[data]
evaluation = "data/evaluation.npz"
[limits]
metric_min = 0.95
[limits.target.rpi4]
latency_p90_max_ms = 50
"""


@pytest.fixture
def load(tmp_path):
    def load(text: str):
        (tmp_path / "contract.toml").write_text(text)
        return load_contract(tmp_path / "contract.toml")

    return load


def test_a_contract_is_read(load, tmp_path):
    contract = load(CONTRACT)
    assert contract.folder == tmp_path
    assert contract.data.metric == "top1" and contract.optimization.recipe == "int8"
    assert contract.limits.target["rpi4"].latency_p90_max_ms == 50.0


def test_owner_and_expiry_are_read(load):
    model = load(CONTRACT.replace('"PyTorch"', '"PyTorch"\nowner = "vision team"\nexpires = 2026-12-31')).model
    assert (model.owner, model.expires) == ("vision team", datetime.date(2026, 12, 31))


def test_the_demos_contract_is_sound():
    assert load_contract(ROOT / "edgedeploy/workflows/demo/contract.toml").model.name == "text-direction"


def test_a_metric_of_ones_own_has_any_range(load):
    text = CONTRACT.replace("[limits]", 'metric = "package.module:score"\n[limits]').replace(
        "0.95", "-40.0\nmetric_max_drop = 3"
    )
    assert load(text).limits.metric_min == -40.0


@pytest.mark.parametrize(
    ("old", "new", "message"),
    [
        ("schema = 1", "schema = 2", "contract.toml:1: schema: this edgedeploy reads schema 1"),
        ("schema = 1", 'folder = "/"\nschema = 1', ":1: folder: "),
        ('name = "model"', 'name = "../up"', ":3: model.name: "),
        ('version = "1"', 'version = ""', ":4: model.version: "),
        ('"model.onnx"', '"/etc/passwd"', ":6: model.file: '/etc/passwd' is not a path inside"),
        ('"model.onnx"', '"../model.onnx"', ":6: model.file: "),
        ("a" * 64, "A" * 64, ":7: model.sha256: 64 lower-case"),
        ("100_000", "0", ":8: model.parameters: "),
        ("100_000", "1" + "0" * 400, ":8: model.parameters: "),
        ("metric_min = 0.95", "size_max_bytes = 1" + "0" * 400, ":12: limits.size_max_bytes: 1"),
        ('"PyTorch"', '"PyTorch"\nowner = " "', ":6: model.owner: a name or an address on one line"),
        ('"PyTorch"', '"PyTorch"\nowner = "\\u001b[2J"', ":6: model.owner: a name or an address on one line"),
        ('"PyTorch"', '"PyTorch"\nexpires = "soon"', ":6: model.expires: "),
        ('"PyTorch"', '"PyTorch"\nexpires = 2026-13-01', "is not valid TOML"),
        ("latency_p90_max_ms = 50", "instructions_max = -1", ":14: limits.target.rpi4.instructions_max: -1 is not"),
        ("100_000", '"many"', ":8: model.parameters: "),
        ("data/evaluation.npz", "~/evaluation.npz/..", ":10: data.evaluation: "),
        ("[limits]", 'calibration = "/c.npz"\n[limits]', ":11: data.calibration: "),
        ("[limits]", 'evaluation_sha256 = "abc"\n[limits]', ":11: data.evaluation_sha256: "),
        ("[limits]", 'metric = "top3"\n[limits]', ":11: data.metric: there is no metric 'top3'"),
        ("metric_min = 0.95", "metric_min = 95", ":12: limits.metric_min: 95.0 is not a share"),
        ("metric_min = 0.95", "metric_min = nan", ":12: limits.metric_min: "),
        ("metric_min = 0.95", "metric_max_drop = -0.01", ":12: limits.metric_max_drop: "),
        ("[limits]", "[optimization]\ntime_budget_s = 0.0\n[limits]", ":12: optimization.time_budget_s: 0.0 s is not"),
        ("[limits]", '[optimization]\nallow = ["anything"]\n[limits]', "optimization.allow"),
        ("metric_min = 0.95", "size_max_bytes = -5", ":12: limits.size_max_bytes: -5 is not a limit"),
        ("metric_min = 0.95", "size_reduction_min = 45", ":12: limits.size_reduction_min: "),
        ("metric_min = 0.95", "metrik_min = 0.95", ":12: limits.metrik_min: unknown key"),
        ("latency_p90_max_ms = 50", "latency_p90_max_ms = inf", ":14: limits.target.rpi4.latency_p90_max_ms: inf"),
        ("target.rpi4", 'target."\\u001b[2J"', "limits.target: '\\x1b[2J' is not the name"),
        ("metric_min = 0.95\n[limits.target.rpi4]\nlatency_p90_max_ms = 50\n", "", ":11: limits: at least one limit"),
        (
            "metric_min = 0.95\n[limits.target.rpi4]\nlatency_p90_max_ms = 50\n",
            "[limits.target.x]",
            "at least one limit",
        ),
    ],
)
def test_mistakes_are_told_with_line_and_key(load, old, new, message):
    assert CONTRACT.count(old) == 1
    with pytest.raises(InvalidFileError) as caught:
        load(CONTRACT.replace(old, new))
    assert message in str(caught.value)
    assert "\x1b" not in str(caught.value)


def test_a_missing_contract_is_told(tmp_path):
    with pytest.raises(InvalidFileError, match="does not exist"):
        load_contract(tmp_path / "contract.toml")


@pytest.mark.parametrize(
    ("name", "existing", "is_path"),
    [
        ("data/evaluation.npz", True, True),
        ("data/evaluation.npz", False, True),
        ("mine:samples", False, False),
        ("package.module:Class.samples", False, False),
        # A file of a callable's name wins, and a colon alone makes no callable: a file that is missing is looked for in
        # the contract's folder and nowhere else.
        ("mine:samples", True, True),
        ("take 1:2.npz", True, True),
        ("take 1:2.npz", False, True),
        ("data/2026-01-31T12:00.npz", False, True),
    ],
)
def test_a_dataset_is_a_path_in_the_contracts_folder_or_a_callable(load, tmp_path, name, existing, is_path):
    contract = load(CONTRACT)
    if existing:
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    assert dataset_spec(contract, name) == (str(tmp_path / name) if is_path else name)


@pytest.mark.parametrize(("day", "expired"), [((2026, 12, 31), False), ((2027, 1, 1), True), ((2026, 1, 1), False)])
def test_a_contract_holds_up_to_its_last_day(load, day, expired):
    contract = load(CONTRACT.replace('"PyTorch"', '"PyTorch"\nexpires = 2026-12-31'))
    assert has_expired(contract, datetime.date(*day)) is expired
    assert not has_expired(load(CONTRACT), datetime.date(*day))


def test_today_is_taken_where_no_day_is_named(load):
    assert has_expired(load(CONTRACT.replace('"PyTorch"', '"PyTorch"\nexpires = 2020-02-29')))
    assert not has_expired(load(CONTRACT.replace('"PyTorch"', '"PyTorch"\nexpires = 9999-12-31')))


def test_every_limit_says_how_it_is_held():
    names = {*Limits.__struct_fields__, *TargetLimits.__struct_fields__} - {"target"}
    assert names == set(LIMIT_RULES)


def test_limits_that_are_stated_come_in_order():
    limits = Limits(parameters_max=5, metric_min=0.5, target={"rpi4": TargetLimits()})
    assert list(stated_limits(limits)) == [("metric_min", 0.5), ("parameters_max", 5)]


EVALUATION = 'evaluation = "data/evaluation.npz"'


def test_a_dataset_may_be_a_table_whose_paths_are_of_the_contracts_folder(load):
    shared = 'preprocessing = { color = "bgr" }\nevaluation = { path = "val", format = "coco", labels = "val.json" }'
    contract = load(CONTRACT.replace(EVALUATION, shared))
    source = dataset_spec(contract, contract.data.evaluation)
    assert isinstance(source, DataSource)
    assert (source.path, source.labels) == (str(contract.folder / "val"), str(contract.folder / "val.json"))
    assert source.preprocessing == {"color": "bgr"}


def test_a_table_of_data_stays_in_the_contracts_folder(load):
    with pytest.raises(InvalidFileError, match=r"data\.evaluation\.path: '\.\./val' is not a path inside"):
        load(CONTRACT.replace(EVALUATION, 'evaluation = { path = "../val" }'))


def test_a_data_toml_of_a_contract_stays_in_its_folder_too(load, tmp_path):
    (tmp_path / "set").mkdir()
    text = CONTRACT.replace(EVALUATION, 'evaluation = "set/data.toml"')
    for inside in ('path = "val"', 'path = "../val"', f'path = "{tmp_path}/val"'):
        (tmp_path / "set/data.toml").write_text(inside)
        source = dataset_spec(load(text), "set/data.toml")
        assert Path(source).resolve() in (tmp_path / "val", tmp_path / "set/val")
    for outside in (
        'path = "../../val"',
        'path = "/etc"',
        'path = "val"\nlabels = "../../val.csv"',
        'path = "val"\npreprocessing = { tokenizer = "/etc/passwd" }',
    ):
        (tmp_path / "set/data.toml").write_text(outside)
        with pytest.raises(InvalidFileError, match=r"set/data\.toml:\d: .* is not inside the contract's folder"):
            dataset_spec(load(text), "set/data.toml")


def test_code_that_heads_of_data_name_is_listed(load, tmp_path):
    (tmp_path / "data.toml").write_text('path = "val"\nhead = { kind = "ours:head" }')
    named = CONTRACT.replace(
        EVALUATION, 'evaluation = "data.toml"\ncalibration = { path = "ours:feeds", head = { kind = "my:fn" } }'
    )
    assert named_code(load(named)) == {
        "data.evaluation.head.kind": "ours:head",
        "data.calibration": "ours:feeds",
        "data.calibration.head.kind": "my:fn",
    }
    (tmp_path / "data.toml").write_text("path = [")
    assert "data.evaluation.head.kind" not in named_code(load(named))


def test_a_contract_states_its_head_and_the_bound_that_goes_with_the_direction(load):
    text = CONTRACT.replace("[limits]", 'metric = "map"\n[data.head]\nkind = "yolov8"\nclasses = 3\n[limits]')
    assert load(text).data.head == Head(kind="yolov8", classes=3)
    named = load(text.replace('"yolov8"', '"ours:head"'))
    assert named_code(named) == {"data.head.kind": "ours:head"}
    errors = CONTRACT.replace("[limits]", 'metric = "rmse"\n[limits]')
    with pytest.raises(InvalidFileError, match="of rmse smaller is better: state metric_max"):
        load(errors)
    ceiling = errors.replace("metric_min = 0.95", "metric_max = 9.5\nmetric_max_drop_relative = 1.5")
    assert (load(ceiling).limits.metric_max, load(ceiling).limits.metric_max_drop_relative) == (9.5, 1.5)
    with pytest.raises(InvalidFileError, match="of top1 larger is better: state metric_min"):
        load(CONTRACT.replace("metric_min = 0.95", "metric_max = 0.95"))
    with pytest.raises(InvalidFileError, match="is not a limit"):
        load(ceiling.replace("1.5", "-1.5"))
