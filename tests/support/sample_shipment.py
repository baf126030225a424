"""A made-up shipment with every field filled: sample data, for looking at and for tests."""

from __future__ import annotations

from collections.abc import Sequence

from msgspec import structs

from edgedeploy.measure.instruction_counts import instruction_count
from edgedeploy.measure.validity import validity
from edgedeploy.stats.latency import drift, summary
from edgedeploy.values.bundle import Source
from edgedeploy.values.contract import Outcome, Verdict, VerdictLine
from edgedeploy.values.evidence import Evidence, Execution, LayerNoise, PassEvidence
from edgedeploy.values.measurement import (
    Accuracy,
    Conditions,
    DeviceState,
    MeasuredRelease,
    Measurement,
    ProcessRun,
    Timing,
)
from edgedeploy.values.model import ModelFacts, TensorFacts
from edgedeploy.values.profile import Profile, ProfiledNode, ProfiledOperator
from edgedeploy.values.quality import Agreement, Broken, ByClass, ClassFigure, Confusion, MetricChange, MetricFigure
from edgedeploy.values.search import LayerDamage, Search, Trial
from edgedeploy.values.shipment import Shipment, ShippedBundle, ShippedContract, ShippedRelease
from edgedeploy.values.speed import SpeedFigure

AGREEMENT = Agreement(
    samples=600, top1_match=0.9967, max_abs_error=0.071, mean_abs_error=0.0012, cosine=0.99871, sqnr_db=27.4
)

CHANGE = MetricChange(value=0.0, low=-0.0117, high=0.0083, confidence=0.95, samples=600, samples_changed=4)
LAYERS = (
    LayerNoise(layer="conv_1", operator="Conv", sqnr_db=38.4, before_db=None),
    LayerNoise(layer="conv_<2>", operator="Conv", sqnr_db=21.7, before_db=38.4),
    LayerNoise(layer="head", operator="Gemm", sqnr_db=25.0, before_db=21.7),
)
CLASSES = ByClass(
    count=62,
    worst=(
        ClassFigure(label=7, samples=12, reference_right=12, right=9, same=9),
        ClassFigure(label=31, samples=8, reference_right=7, right=8, same=6),
        ClassFigure(label=2, samples=10, reference_right=9, right=9, same=10),
    ),
    confusion=Confusion(
        classes=(2, 7, 31),
        counts=((9, 1, 0, 0), (0, 9, 1, 2), (0, 0, 8, 0), (0, 3, 0, 567)),
        others=True,
    ),
)
BROKEN = Broken(count=31, first=tuple(range(3, 203, 10)))
SPEED = SpeedFigure(
    currency="guest instructions",
    unit="instructions",
    source=180_900_000.0,
    result=119_900_000.0,
    ratio=0.663,
    low=0.6629,
    high=0.6631,
    slower=False,
    samples=20,
    where="board:rpi4 (cortex-a72)",
)
SEARCH = Search(
    objective="balanced",
    source_size_bytes=585_532,
    trials=(
        Trial(name="as prepared", passes=(), size_bytes=519_218, change=CHANGE, sqnr_db=129.1, samples=512),
        Trial(name="int8", passes=(), size_bytes=190_519, change=CHANGE, sqnr_db=24.0, samples=512, speed=SPEED),
        Trial(
            name="30% pruned, int8",
            passes=(),
            size_bytes=150_000,
            change=structs.replace(CHANGE, value=-0.04, low=-0.06, high=-0.02),
            sqnr_db=9.0,
            samples=512,
            over_budget="top1 fell from 0.9700 to 0.9300 in exact arithmetic",
        ),
        Trial(name="int8-dynamic", passes=(), refused="quantize-dynamic: there is no MatMul or Gemm"),
    ),
    front=("int8", "as prepared"),
    layers=(
        LayerDamage(layer="conv2d_1.tmp_0", operator="Conv", sqnr_db=24.1),
        LayerDamage(layer="linear_0.tmp_0", operator="MatMul", sqnr_db=None),
    ),
    chosen="int8",
    rejected={},
    ended="all tried",
    seconds=83.2,
)


PROFILE = Profile(
    device="ssh://pi@192.0.2.7",
    name="sample",
    release="1.0-abababababab",
    unit="us",
    runs=20,
    per_inference=10_150.0,
    by_operator=(
        ProfiledOperator(operator="QLinearConv", nodes=52, per_inference=9_000.0, share=0.887),
        ProfiledOperator(operator="ReduceMean", nodes=9, per_inference=1_150.0, share=0.113),
    ),
    nodes=(
        ProfiledNode(
            name="conv2d_1.tmp_0_quant",
            operator="QLinearConv",
            output="uint8 1x16x24x96",
            per_inference=3_000.0,
            share=0.296,
        ),
        ProfiledNode(name="pool2d_0.tmp_0", operator="ReduceMean", per_inference=700.0, share=0.069),
    ),
)


FLOAT_OPERATORS = {"Conv": 53, "HardSwish": 20, "Add": 12, "BatchNormalization": 12, "MatMul": 1, "Softmax": 1}
INT8_OPERATORS = {"DequantizeLinear": 180, "QuantizeLinear": 96, "Conv": 53, "HardSwish": 20, "Add": 12, "MatMul": 1}


def model_facts(size_bytes: int, parameters: int, operators: dict[str, int]) -> ModelFacts:
    return ModelFacts(
        format="onnx",
        sha256="ab" * 32,
        size_bytes=size_bytes,
        producer="sample",
        opset=17,
        inputs=(TensorFacts(name="x", dtype="float32", shape=("N", 3, 48, 192)),),
        outputs=(TensorFacts(name="y", dtype="float32", shape=("N", 2)),),
        parameters=parameters,
        macs=16_000_000,
        macs_note="for x 1x3x48x192",
        operators=operators,
    )


def timing(samples_ms: Sequence[float], clock: str = "device") -> Timing:
    return Timing(
        clock=clock,  # type: ignore[arg-type]
        profile="smoke",
        load_ms=120.0,
        first_inference_ms=31.0,
        warmup_ms=(12.0, 11.0),
        samples_ms=tuple(samples_ms),
        summary=summary(samples_ms),
    )


def throttled() -> Shipment:
    """As on a board that grew hot: slowed down in the last five of twelve seconds."""
    samples_ms = [10.0 + index % 7 / 10 + (4.0 if index >= 700 else 0.0) for index in range(1100)]
    states = [
        DeviceState(
            phase="steady",
            samples=100 * second if second <= 7 else 700 + 80 * (second - 7),
            elapsed_s=float(second),
            temperature_c=60.0 + 2 * second,
            clock_mhz=1500.0 if second <= 7 else 1000.0,
            throttled=0 if second <= 7 else 0x40004,
        )
        for second in range(1, 13)
    ]
    process = ProcessRun(
        import_ms=900.0,
        load_ms=120.0,
        first_inference_ms=31.0,
        warmup=2,
        samples=1100,
        elapsed_s=12.6,
        p50_ms=summary(samples_ms).p50_ms,
        drift=drift(samples_ms),
        states=tuple(states),
    )
    timed = structs.replace(
        timing(samples_ms), processes=(process,), cold_import_ms=2400.0, cold_load_ms=310.0, energy_mj=61.5
    )
    whole = shipment(samples_ms)
    assert whole.measurement
    timed = structs.replace(timed, validity=validity(timed))
    return structs.replace(whole, measurement=structs.replace(whole.measurement, timing=timed))


def counted(samples: Sequence[int]) -> Shipment:
    """As on an emulated board whose clock counts instructions: a count in place of a timing."""
    whole = shipment(clock="emulated")
    assert whole.measurement
    count = instruction_count(samples[0], samples[:1], samples)
    return structs.replace(whole, measurement=structs.replace(whole.measurement, timing=None, count=count))


def shipment(samples_ms: Sequence[float] = (10.0, 11.0, 12.5), clock: str = "device", **conditions: object) -> Shipment:
    """One that holds, except for a line that cannot be told."""
    metric = MetricFigure(name="top1", value=0.97, samples=600)
    source = Source(
        sha256="ab" * 32,
        size_bytes=585_532,
        parameters=133_628,
        recipe="int8",
        evaluation_sha256="cd" * 32,
        metric=metric,
    )
    described = Conditions(
        machine="aarch64",
        kernel="Linux 6.1.0",
        cpu="Arm Cortex-A72 r0p3",
        cpu_features=("fp", "asimd", "crc32"),
        cores=4,
        os="Sample OS 12",
        memory_total_bytes=4_000_000_000,
        memory_available_bytes=3_100_000_000,
        load_average_1min=0.2,
        temperature_c=51.2,
        governor="ondemand",
        python="3.11.2",
        runtime={"onnxruntime": "1.32.0"},
        emulated=clock == "emulated",
    )
    return Shipment(
        schema=1,
        edgedeploy="0.1.0",
        device="ssh://pi@192.0.2.7",
        contract=ShippedContract(
            name="sample", version="1.0", framework="sample", recipe="int8", metric="top1", evaluation="evaluation.npz"
        ),
        evidence=Evidence(
            recipe="int8",
            target="rpi4",
            source=model_facts(585_532, 133_628, FLOAT_OPERATORS),
            result=model_facts(190_519, 127_220, INT8_OPERATORS),
            passes=(
                PassEvidence(
                    name="fold-constants", changed=True, refused=None, facts={"nodes_folded": 19}, size_bytes=583_000
                ),
                PassEvidence(name="quantize-dynamic", changed=False, refused="no MatMul", facts={}, size_bytes=583_000),
            ),
            calibration_samples=128,
            evaluation_sha256="cd" * 32,
            source_metric=metric,
            max_drop=0.01,
            executions=(
                Execution(
                    arithmetic="exact",
                    isa="x86-64",
                    metric=metric,
                    agreement=AGREEMENT,
                    change=CHANGE,
                    classes=CLASSES,
                    broken=BROKEN,
                ),
                Execution(arithmetic="host", isa="x86-64 avx2", metric=metric, agreement=AGREEMENT),
            ),
            speed=SPEED,
            layers=LAYERS,
            search=SEARCH,
            accepted=True,
            reasons=("the sample is a sample",),
            tools={"onnx": "1.23.2"},
        ),
        bundle=ShippedBundle(
            sha256="ef" * 32, size_bytes=75_000_000, files=212, target="rpi4", packages={"onnxruntime": "1.32.0"}
        ),
        release=ShippedRelease(
            id="1.0-efefefefefef",
            parent="0.9-0123456789ab",
            sent_files=3,
            sent_bytes=191_000,
            kept_files=209,
            current=True,
        ),
        profile=PROFILE,
        measurement=Measurement(
            schema=1,
            device="ssh://pi@192.0.2.7",
            taken_at="2026-01-01T00:00:00+00:00",
            release=MeasuredRelease(
                name="sample",
                version="1.0",
                id="1.0-efefefefefef",
                target="rpi4",
                model_sha256="12" * 32,
                model_size_bytes=190_519,
                parameters=127_220,
                bundle_size_bytes=75_000_000,
                source=source,
            ),
            conditions=structs.replace(described, **conditions),
            peak_rss_bytes=69_000_000,
            timing=timing(samples_ms, clock),
            accuracy=Accuracy(
                evaluation="evaluation.npz",
                evaluation_sha256="cd" * 32,
                samples=600,
                metric=metric,
                host_metric=metric,
                agreement=AGREEMENT,
                classes=ByClass(count=2, worst=CLASSES.worst[2:]),
                broken=Broken(count=0, first=()),
            ),
            golden=structs.replace(AGREEMENT, samples=8, sqnr_db=None),
        ),
        verdict=Verdict(
            contract="sample 1.0",
            lines=(
                VerdictLine(
                    key="limits.metric_min",
                    limit=0.95,
                    figure=0.97,
                    unit="share",
                    outcome=Outcome.HOLDS,
                    reason="top1 over 600 samples",
                ),
                VerdictLine(
                    key="limits.target.rpi4.latency_p90_max_ms",
                    limit=50.0,
                    figure=None,
                    unit="ms",
                    outcome=Outcome.NOT_DETERMINED,
                    reason="p90 needs 64 samples, there are 3",
                ),
            ),
            outcome=Outcome.HOLDS,
        ),
        remarks=("A remark.",),
    )


def refused() -> Shipment:
    """One whose optimized model the guard refused, and which does not even load."""
    whole = shipment()
    return structs.replace(
        whole,
        evidence=structs.replace(
            whole.evidence, accepted=False, result=None, executions=(), reasons=("the result does not load",)
        ),
        bundle=None,
        release=None,
        measurement=None,
        verdict=None,
    )
