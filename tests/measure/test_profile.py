"""Where the time goes, by the real profiler of this machine's onnxruntime."""

from __future__ import annotations

import numpy as np
import pytest
from msgspec import structs

from edgedeploy.errors import DeviceError, UnsupportedError
from edgedeploy.measure import profile as module
from edgedeploy.measure.profile import profile
from edgedeploy.measure.protocol import Conversation
from edgedeploy.report.terminal_profile import profile_tables

MODEL = """
    <ir_version: 8, opset_import: ["" : 17]>
    work (float[N, 256] x) => (float[N, 256] y) {
        t = Transpose<perm = [1, 0]>(x)
        s = MatMul(t, x)
        a = MatMul(s, s)
        [the_mean] m = ReduceMean<axes = [0], keepdims = 1>(a)
        y = Add(x, m)
    }
"""
FEEDS = [{"x": np.ones((4, 256), np.float32)}, {"x": np.zeros((2, 256), np.float32)}]


def test_nodes_and_operators(local, make_release) -> None:
    found = profile(local, make_release(MODEL, FEEDS))
    assert (found.unit, found.runs, found.release) == ("us", 20, "1-abc")
    assert {one.operator: one.nodes for one in found.by_operator}.keys() >= {"MatMul", "ReduceMean", "Add"}
    # 256³ multiply-accumulates against 256² additions.
    assert found.by_operator[0].operator in ("MatMul", "FusedMatMul")
    assert [node.per_inference for node in found.nodes] == sorted((n.per_inference for n in found.nodes), reverse=True)
    assert sum(node.share for node in found.nodes) == pytest.approx(1)
    assert sum(one.per_inference for one in found.by_operator) == pytest.approx(found.per_inference)
    title, operators, nodes = profile_tables(found, top=2)
    assert "1-abc" in title.plain
    assert nodes.row_count == 2 and operators.row_count == len(found.by_operator)


def test_units(local, make_release) -> None:
    release = make_release(MODEL, FEEDS)
    local.emulated = True
    assert profile(local, release).unit == "emulated us"
    local.counts_instructions = True
    found = profile(local, release)
    assert (found.unit, found.runs) == ("instructions", 5)
    assert found.per_inference > 10_000


def test_a_release_without_golden_inputs(local, make_release) -> None:
    with pytest.raises(DeviceError) as caught:
        profile(local, make_release(feeds=[]))
    assert "no golden samples" in caught.value.why


def test_a_backend_without_a_profiler(local, make_release) -> None:
    release = make_release()
    runtime = structs.replace(release.manifest.runtime, backend="native")
    release = structs.replace(release, manifest=structs.replace(release.manifest, runtime=runtime))
    with pytest.raises(UnsupportedError, match="no profiler"):
        profile(local, release)


@pytest.mark.parametrize(
    "nodes", [None, {}, [1], [{"name": "a"}], [{"name": "a", "operator": "b", "calls": 0, "us": -1}]]
)
def test_what_is_no_profile(local, make_release, monkeypatch: pytest.MonkeyPatch, nodes: object) -> None:
    real = Conversation.ask

    def ask(talk: Conversation, request: dict[str, object]) -> object:
        return {"nodes": nodes} if request["do"] == "profile" else real(talk, request)

    monkeypatch.setattr(Conversation, "ask", ask)
    with pytest.raises(DeviceError, match="no profile"):
        module.profile(local, make_release())
