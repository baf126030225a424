"""A fixture: a good measurement of an optimized model on a real board."""

from __future__ import annotations

import pytest

from edgedeploy.stats.latency import summary
from edgedeploy.values.bundle import Source
from edgedeploy.values.measurement import Accuracy, Conditions, MeasuredRelease, Measurement, Timing
from edgedeploy.values.quality import Agreement, MetricFigure

MODEL_SHA256, DATA_SHA256 = "a" * 64, "d" * 64
AGREEMENT = Agreement(samples=600, top1_match=0.995, max_abs_error=0.1, mean_abs_error=0.01, cosine=0.999, sqnr_db=30.0)


@pytest.fixture
def measurement() -> Measurement:
    """A good one of an optimized model on a real board."""
    samples_ms = tuple(10.0 + index % 10 for index in range(1024))
    accuracy = Accuracy(
        evaluation="evaluation.npz",
        evaluation_sha256=DATA_SHA256,
        samples=600,
        metric=MetricFigure(name="top1", value=0.96, samples=600),
        host_metric=MetricFigure(name="top1", value=0.965, samples=600),
        agreement=AGREEMENT,
    )
    return Measurement(
        schema=1,
        device="ssh://pi",
        taken_at="2026-01-01T00:00:00+00:00",
        release=MeasuredRelease(
            name="model",
            version="1",
            id="1-abc",
            target="rpi4",
            model_sha256="b" * 64,
            model_size_bytes=400_000,
            parameters=99_000,
            bundle_size_bytes=80_000_000,
            source=Source(
                sha256=MODEL_SHA256,
                size_bytes=1_000_000,
                parameters=100_000,
                recipe="int8",
                evaluation_sha256=DATA_SHA256,
                metric=MetricFigure(name="top1", value=0.97, samples=600),
            ),
        ),
        conditions=Conditions(
            machine="aarch64",
            kernel="Linux 6.1",
            cpu="Arm Cortex-A72 r0p3",
            cpu_features=("asimd",),
            cores=4,
            os="Debian 12",
            memory_total_bytes=4_000_000_000,
            memory_available_bytes=3_000_000_000,
            load_average_1min=0.1,
            temperature_c=48.0,
            governor="performance",
            python="3.11.2",
            runtime={"onnxruntime": "1.32.0"},
            emulated=False,
        ),
        peak_rss_bytes=66_000_000,
        timing=Timing(
            clock="device",
            profile="standard",
            load_ms=20.0,
            first_inference_ms=30.0,
            warmup_ms=(11.0, 12.0),
            samples_ms=samples_ms,
            summary=summary(samples_ms),
        ),
        accuracy=accuracy,
        golden=AGREEMENT,
    )
