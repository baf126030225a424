from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from hypothesis import given, settings
from hypothesis import strategies as st
from support.tflite_models import Builder, mediapipe_network, small_network

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.foundation.errors import DatasetError, UnsupportedError
from edgedeploy.inference.litert import TfliteSession
from edgedeploy.metrics.agreement import AgreementAccumulator
from edgedeploy.model.inspect import inspect_model
from edgedeploy.model.tflite_file import operator_name, read_tflite, tensor_name, write_tflite
from edgedeploy.optimize.base import Context, Pass
from edgedeploy.optimize.optimize import optimize
from edgedeploy.optimize.quantize.quantize_dynamic import QuantizeDynamic
from edgedeploy.optimize.quantize.quantize_static import QuantizeStatic
from edgedeploy.optimize.recipes.recipe import load_recipe
from edgedeploy.optimize.simplify.fold_constants import FoldConstants
from edgedeploy.optimize.simplify.merge_duplicate_initializers import MergeDuplicateInitializers
from edgedeploy.optimize.simplify.strip_metadata import StripMetadata
from edgedeploy.optimize.tflite.pipeline import layer_names, run_passes
from edgedeploy.optimize.tflite.quantize import Quantization, quantize
from edgedeploy.optimize.tflite.select import LINEAR
from edgedeploy.values.model import TensorFacts

pytestmark = pytest.mark.slow

IMAGE = TensorFacts(name="image", dtype="float32", shape=(1, 16, 16, 3))
WEIGHTS = Quantization(scheme="weights", kinds=tuple(LINEAR))


def images(count: int, seed: int = 0) -> np.ndarray:
    """Noise of a colour of its own each, so that answers differ."""
    rng = np.random.default_rng(seed)
    return (rng.uniform(size=(count, 16, 16, 3)) * rng.uniform(size=(count, 1, 1, 3))).astype(np.float32)


@pytest.fixture
def context(tmp_path):
    np.savez(tmp_path / "calibration.npz", image=images(16))
    dataset = open_dataset(str(tmp_path / "calibration.npz"), [IMAGE])
    return Context(calibration=dataset, probes=[{"image": images(1, seed=9)}])


def sqnr_db(before: bytes, after: bytes, exact: bool = True) -> float:
    agreement = AgreementAccumulator()
    one, other = TfliteSession(before, exact=True), TfliteSession(after, exact=exact)
    for image in images(8, seed=1):
        feed = {"image": image[None]}
        agreement.add(other.run(feed), one.run(feed))
    return agreement.figure().sqnr_db or np.inf


def kinds(content: bytes) -> list[str]:
    model = read_tflite(content)
    return [operator_name(model, one) for one in model.subgraphs[0].operators]


def types(content: bytes, kind: str) -> list[list[str]]:
    """NumPy's names of the types of each such operator's operands."""
    model = read_tflite(content)
    tensors = model.subgraphs[0].tensors
    numbers = {value: name for name, value in vars(schema.TensorType).items() if isinstance(value, int)}
    return [
        [numbers[tensors[index].type] for index in one.inputs if index >= 0]
        for one in model.subgraphs[0].operators
        if operator_name(model, one) == kind
    ]


@pytest.mark.parametrize("half", [False, True])
def test_static_quantization_of_a_network(context, half):
    source = small_network(half=half)
    result, (evidence,) = run_passes(source, [QuantizeStatic()], context)
    assert evidence.changed, evidence.refused
    assert evidence.facts["nodes_quantized"] == 3
    assert evidence.facts["calibration_samples"] == 16
    assert evidence.facts["activations_fused"] == 2
    assert ("weights_decoded" in evidence.facts) == half
    assert evidence.reach is not None
    assert half or evidence.reach.weight_share == 1.0
    assert len(result) < len(source)
    assert sqnr_db(source, result) > 20
    assert sqnr_db(source, result, exact=False) > 20
    # Integers from the first convolution on, and float at both ends.
    assert kinds(result) == ["QUANTIZE", "CONV_2D", "CONV_2D", "ADD", "MEAN", "FULLY_CONNECTED", "DEQUANTIZE"]
    assert types(result, "CONV_2D") == [["INT8", "INT8", "INT32"]] * 2
    session = TfliteSession(result, exact=True)
    assert (session.input_names, session.output_names) == (("image",), ("logits",))
    assert session.run({"image": images(1)})[0].dtype == np.float32


@pytest.mark.parametrize("method", ["min-max", "mean-min-max", "percentile", "entropy", "mse"])
def test_every_calibration(context, method):
    result, (evidence,) = run_passes(small_network(), [QuantizeStatic(calibration=method)], context)
    assert evidence.changed, evidence.refused
    assert sqnr_db(small_network(), result) > 15


def test_calibration_looks_at_no_more_samples_than_it_may_and_not_twice(context):
    for _ in range(2):
        _, (evidence,) = run_passes(small_network(), [QuantizeStatic(calibration_samples=3)], context)
        assert evidence.facts["calibration_samples"] == 3
    assert len(context.memo) == 1


def test_what_calibration_saw_serves_whatever_asks_for_less(context):
    run_passes(small_network(), [QuantizeStatic(calibration="mse")], context)
    (known,) = context.memo.values()
    kept = {"keep_float": ("conv1",)}
    _, (evidence,) = run_passes(small_network(), [QuantizeStatic(calibration="min-max", **kept)], context)
    assert evidence.changed
    assert list(context.memo.values()) == [known]


def test_what_calibration_did_not_see_is_looked_at(context):
    run_passes(small_network(), [QuantizeStatic(keep_float=("conv1",))], context)
    (known,) = context.memo.values()
    _, (evidence,) = run_passes(small_network(), [QuantizeStatic(calibration="mse")], context)
    assert evidence.changed, evidence.refused
    (found,) = context.memo.values()
    assert found.tensors > known.tensors


def test_layers_are_named():
    assert layer_names(small_network(half=True)) == {
        "conv1": "CONV_2D",
        "conv2": "CONV_2D",
        "logits": "FULLY_CONNECTED",
    }


def test_static_quantization_needs_data():
    content, (evidence,) = run_passes(small_network(), [QuantizeStatic()], Context(probes=[{"image": images(1)}]))
    assert content == small_network()
    assert evidence.refused == "it needs calibration data"


def test_a_layer_can_stay_in_float(context):
    for setting in ({"keep_float": ("conv2",)}, {"keep_float": ("relu2",)}, {"only": ("conv1", "logits")}):
        wanted = Quantization(scheme="static", kinds=tuple(LINEAR), **setting)
        result, facts = quantize(small_network(), wanted, context)
        assert facts["nodes_left_in_float"] == 1
        assert types(result, "CONV_2D") == [["INT8", "INT8", "INT32"], ["FLOAT32", "FLOAT32", "FLOAT32"]]


@pytest.mark.slow
def test_what_stays_in_float_is_told_by_its_bytes(context):
    _, (evidence,) = run_passes(small_network(), [QuantizeStatic(keep_float=("conv1",))], context)
    assert evidence.reach is not None
    assert 0 < evidence.reach.weight_share < 1
    assert evidence.reach.left.startswith("float weights of CONV_2D (")


def test_weights_alone(context):
    source = small_network()
    result, facts = quantize(source, WEIGHTS, context)
    # Those of the dense layer are too small to be worth it.
    assert facts["nodes_quantized"] == 2
    assert types(result, "DEQUANTIZE") == [["INT8"]] * 2
    assert len(result) < len(source)
    assert sqnr_db(source, result) > 30


def test_float16_weights(context):
    source = small_network()
    result, facts = quantize(source, Quantization(scheme="float16", kinds=tuple(LINEAR)), context)
    assert facts["nodes_quantized"] == 2
    assert types(result, "DEQUANTIZE") == [["FLOAT16"]] * 2
    assert sqnr_db(source, result) > 60


def dense_network(seed: int = 0) -> bytes:
    rng = np.random.default_rng(seed)
    b = Builder()
    x = b.input("image", (1, 16, 16, 3))
    shape = b.constant("shape", np.array([1, 768], np.int32))
    flat = b.operator("RESHAPE", [x, shape], b.tensor("flat", (1, 768)), schema.ReshapeOptionsT(newShape=[1, 768]))
    weights = (rng.normal(size=(10, 768)) / 28).astype(np.float32)
    return b.finish(b.dense(flat, weights, b.tensor("logits", (1, 10))))


def test_dynamic_quantization_takes_dense_layers_and_no_convolutions(context):
    _, (evidence,) = run_passes(small_network(), [QuantizeDynamic()], context)
    assert evidence.refused is not None
    assert "FULLY_CONNECTED or BATCH_MATMUL" in evidence.refused
    result, (evidence,) = run_passes(dense_network(), [QuantizeDynamic()], context)
    assert evidence.changed, evidence.refused
    assert types(result, "FULLY_CONNECTED") == [["FLOAT32", "INT8"]]
    assert sqnr_db(dense_network(), result) > 25


def test_four_bits(context):
    scheme = Quantization(scheme="weights", kinds=tuple(LINEAR), bits=4)
    result, _ = quantize(dense_network(), scheme, context)
    assert types(result, "DEQUANTIZE") == [["INT4"]]
    assert len(result) < len(dense_network()) / 5
    assert sqnr_db(dense_network(), result) > 10


def test_what_is_not_quantized_stays_float16(context):
    """The decoded weights must not stay behind in float32: the file would be larger than what came."""
    source = small_network(half=True, classes=400)
    result, (evidence,) = run_passes(source, [QuantizeDynamic()], context)
    assert evidence.changed, evidence.refused
    assert types(result, "FULLY_CONNECTED") == [["FLOAT32", "INT8", "FLOAT32"]]
    # Two filters and a bias of more than a kilobyte.
    assert types(result, "DEQUANTIZE") == [["FLOAT16"]] * 3
    assert len(result) < len(source)


def test_weights_are_decoded_from_one_type_only(context):
    """With two, XNNPACK decodes all of them in every run."""
    source = small_network(half=True, classes=400)
    result, facts = quantize(source, WEIGHTS, context)
    assert facts["nodes_quantized"] == 3
    assert types(result, "DEQUANTIZE") == [["INT8"]] * 3
    assert len(result) < len(source)


def test_a_quantized_model_is_not_quantized_again(context):
    result, _ = run_passes(small_network(), [QuantizeStatic()], context)
    again, (evidence,) = run_passes(result, [QuantizeStatic()], context)
    assert again == result
    assert evidence.refused == "the model is quantized already"


def test_passes_that_prepare_onnx_graphs_say_that_they_have_nothing_to_do(context):
    content, (evidence,) = run_passes(small_network(), [FoldConstants()], context)
    assert content == small_network()
    assert evidence.refused == "TensorFlow Lite models come prepared by their converter"

    class ChangesResults(Pass, frozen=True):
        pass

    _, (evidence,) = run_passes(small_network(), [ChangesResults()], context)
    assert evidence.refused == "it works on ONNX models only"


def test_tidying_keeps_results(context):
    model = read_tflite(small_network())
    tensors, buffers = model.subgraphs[0].tensors, model.buffers
    buffers += [type(buffers[0])(data=buffers[1].data), type(buffers[0])(data=np.zeros(999, np.uint8))]
    dead = type(tensors[0])(name=b"dead", shape=[999], type=schema.TensorType.INT8, buffer=len(buffers) - 1)
    tensors.append(dead)
    model.subgraphs[0].tensors[1].buffer = len(buffers) - 2
    source = write_tflite(model)
    result, evidence = run_passes(source, [MergeDuplicateInitializers(), StripMetadata(shorten_names=True)], context)
    assert [one.changed for one in evidence] == [True, True]
    assert len(result) < len(source) - 999
    assert sqnr_db(source, result) > 300
    names = [tensor_name(tensor) for tensor in read_tflite(result).subgraphs[0].tensors]
    assert sorted(filter(None, names)) == ["image", "logits"]


def test_tensors_of_one_name_or_none(context):
    """ai-edge-quantizer knows tensors by name; files from the wild have some twice, and some without."""
    model = read_tflite(small_network())
    for tensor in model.subgraphs[0].tensors:
        if tensor_name(tensor) not in ("image", "logits"):
            tensor.name = b"same" if len(tensor.name) % 2 else None
    result, (evidence,) = run_passes(write_tflite(model), [QuantizeStatic()], context)
    assert evidence.changed, evidence.refused
    assert sqnr_db(small_network(), result) > 20


def test_files_from_before_2020_are_quantized_too(context):
    model = read_tflite(small_network())
    for code in model.operatorCodes:
        code.builtinCode = 0
    old = write_tflite(model)
    result, (evidence,) = run_passes(old, [QuantizeStatic()], context)
    assert evidence.changed, evidence.refused
    assert types(result, "CONV_2D") == [["INT8", "INT8", "INT32"]] * 2
    assert sqnr_db(old, result) > 20


def test_a_signature_stays(context):
    model = read_tflite(small_network())
    first = model.subgraphs[0]
    model.signatureDefs = [
        schema.SignatureDefT(
            signatureKey=b"serve",
            inputs=[schema.TensorMapT(name=b"x", tensorIndex=first.inputs[0])],
            outputs=[schema.TensorMapT(name=b"y", tensorIndex=first.outputs[0])],
        )
    ]
    result, (evidence,) = run_passes(write_tflite(model), [QuantizeStatic()], context)
    assert evidence.changed, evidence.refused
    after = read_tflite(result)
    (signature,) = after.signatureDefs
    assert (signature.signatureKey, signature.inputs[0].name, signature.outputs[0].name) == (b"serve", b"x", b"y")
    assert signature.inputs[0].tensorIndex == after.subgraphs[0].inputs[0]
    assert signature.outputs[0].tensorIndex == after.subgraphs[0].outputs[0]


def test_nothing_is_written_to_the_terminal(context, capfd):
    run_passes(small_network(), [QuantizeStatic()], context)
    captured = capfd.readouterr()
    assert (captured.out, captured.err) == ("", "")


def test_a_value_that_is_not_finite_is_the_datasets_fault(tmp_path):
    broken = images(2)
    broken[1, 0, 0, 0] = np.nan
    np.savez(tmp_path / "broken.npz", image=broken)
    dataset = open_dataset(str(tmp_path / "broken.npz"), [IMAGE])
    with pytest.raises(DatasetError, match="sample 1 makes the model compute"):
        run_passes(small_network(), [QuantizeStatic()], Context(calibration=dataset, probes=[{"image": images(1)}]))


@pytest.mark.slow
@settings(max_examples=25, deadline=None)
@given(data=st.data())
def test_random_networks_are_quantized_or_refused(data, tmp_path_factory):
    """Every scheme gives a model that loads, keeps its interface and answers alike, or says why not."""
    rng = np.random.default_rng(data.draw(st.integers(0, 99)))
    b = Builder()
    values = [(b.input("image", (1, 16, 16, 3)), 3)]
    half = data.draw(st.booleans())
    for number in range(data.draw(st.integers(1, 6))):
        value, channels = values[data.draw(st.integers(0, len(values) - 1))]
        name = f"v{number}"
        kind = data.draw(st.sampled_from(("conv", "depthwise", "relu", "prelu", "add", "concat", "logistic", "pad")))
        if kind == "conv":
            width = data.draw(st.sampled_from((1, 8, 33)))
            weights = (rng.normal(size=(width, 3, 3, channels)) / np.sqrt(9 * channels)).astype(np.float32)
            filters = b.decoded(f"w{number}", weights) if half else b.constant(f"w{number}", weights)
            bias = b.constant(f"b{number}", rng.normal(size=width).astype(np.float32))
            values.append((b.convolution(value, filters, b.tensor(name, (1, 16, 16, width)), bias=bias), width))
        elif kind == "depthwise":
            weights = rng.normal(size=(1, 3, 3, channels)).astype(np.float32) / 3
            values.append((b.depthwise(value, weights, b.tensor(name, (1, 16, 16, channels))), channels))
        elif kind == "prelu":
            slope = b.constant(f"a{number}", rng.uniform(size=(1, 1, channels)).astype(np.float32))
            values.append((b.operator("PRELU", [value, slope], b.tensor(name, (1, 16, 16, channels))), channels))
        elif kind == "concat":
            options = schema.ConcatenationOptionsT(axis=3)
            out = b.tensor(name, (1, 16, 16, channels + 3))
            values.append((b.operator("CONCATENATION", [value, values[0][0]], out, options), channels + 3))
        elif kind == "add":
            out = b.tensor(name, (1, 16, 16, channels))
            values.append((b.operator("ADD", [value, value], out, schema.AddOptionsT()), channels))
        elif kind == "pad":
            pads = b.constant(f"p{number}", np.zeros((4, 2), np.int32))
            out = b.tensor(name, (1, 16, 16, channels))
            values.append((b.operator("PAD", [value, pads], out, schema.PadOptionsT()), channels))
        else:
            out = b.tensor(name, (1, 16, 16, channels))
            values.append((b.operator(kind.upper(), [value], out), channels))
    source = b.finish(values[-1][0])
    folder = tmp_path_factory.mktemp("random")
    np.savez(folder / "c.npz", image=images(4))
    dataset = open_dataset(str(folder / "c.npz"), [IMAGE])
    context = Context(calibration=dataset, probes=[{"image": images(1)}])
    for step in (QuantizeStatic(), QuantizeDynamic()):
        result, (evidence,) = run_passes(source, [step], context)
        if evidence.changed:
            assert sqnr_db(source, result) > 10
        else:
            assert result == source
            assert "ai-edge-quantizer does not take" not in (evidence.refused or "")
            assert "it failed on" not in (evidence.refused or "")
            assert "discarded" not in (evidence.refused or "")


# -- through `optimize`, with the guard


@pytest.fixture
def files(tmp_path):
    model, calibration, evaluation = tmp_path / "m.tflite", tmp_path / "c.npz", tmp_path / "e.npz"
    model.write_bytes(small_network(half=True))
    np.savez(calibration, image=images(16))
    session = TfliteSession(model, exact=True)
    pictures = images(40, seed=1)
    labels = np.array([session.run({"image": picture[None]})[0].argmax() for picture in pictures])
    np.savez(evaluation, image=pictures, labels=labels)
    return model, str(calibration), str(evaluation)


def test_a_recipe_from_file_to_file(files, tmp_path):
    model, calibration, evaluation = files
    output = tmp_path / "small.tflite"
    evidence = optimize(
        model, load_recipe("int8"), output, calibration=calibration, evaluation=evaluation, max_drop=0.1
    )
    assert evidence.accepted, evidence.reasons
    assert evidence.source.format == evidence.result.format == "tflite"
    assert inspect_model(output).size_bytes == evidence.result.size_bytes < evidence.source.size_bytes
    assert evidence.source_metric.value == 1.0
    assert [one.arithmetic for one in evidence.executions] == ["exact", "host"]
    assert evidence.calibration_samples == 16
    assert "ai_edge_quantizer" in evidence.tools


def test_a_result_beyond_the_budget_is_not_written(files, tmp_path):
    model, calibration, evaluation = files
    recipe = tmp_path / "rough.toml"
    recipe.write_text(
        'title = "t"\ndescription = "d"\n[[passes]]\nname = "quantize-static"\ncalibration = "percentile"\n'
        "percentile = 60\n"
    )
    output = tmp_path / "small.tflite"
    evidence = optimize(
        model, load_recipe(str(recipe)), output, calibration=calibration, evaluation=evaluation, max_drop=0.01
    )
    assert not evidence.accepted
    assert "fell from 1.0000" in evidence.reasons[0]
    assert not output.exists()


def test_a_model_that_the_runtime_does_not_take_is_refused(tmp_path):
    b = Builder()
    x = b.input("x", (1, 4))
    y = b.operator("CUSTOM", [x], b.tensor("y", (1, 4)))
    b.model.operatorCodes[0].customCode = b"Landmarks2TransformMatrix"
    path = tmp_path / "m.tflite"
    path.write_bytes(b.finish(y))
    with pytest.raises(UnsupportedError, match="ai-edge-litert does not load") as caught:
        optimize(path, load_recipe("fold"), tmp_path / "o.tflite")
    assert "Landmarks2TransformMatrix" in caught.value.why


def test_what_only_a_delegate_runs_is_judged_through_it(tmp_path):
    path = tmp_path / "m.tflite"
    path.write_bytes(mediapipe_network())
    np.savez(tmp_path / "data.npz", image=images(4)[:, :4, :4])
    evidence = optimize(path, load_recipe("fold"), tmp_path / "o.tflite", evaluation=str(tmp_path / "data.npz"))
    assert evidence.accepted, evidence.reasons
    assert any("only XNNPACK runs the custom operator" in reason for reason in evidence.reasons)


def test_labels_attached_to_the_model_stay(files, tmp_path):
    model, calibration, _ = files
    attached = io.BytesIO(model.read_bytes())
    with zipfile.ZipFile(attached, "a") as archive:
        archive.writestr("labels.txt", "cat\ndog\n")
    model.write_bytes(attached.getvalue())
    output = tmp_path / "small.tflite"
    evidence = optimize(model, load_recipe("int8"), output, calibration=calibration, max_drop=1.0)
    assert evidence.accepted, evidence.reasons
    with zipfile.ZipFile(output) as archive:
        assert archive.read("labels.txt") == b"cat\ndog\n"


def test_a_board_answers_too(files, tmp_path):
    class Elsewhere:
        where = "board:test"
        budget_s = 60.0

        def session(self, model):
            return TfliteSession(model, exact=False)

    model, calibration, _ = files
    evidence = optimize(
        model, load_recipe("int8"), tmp_path / "o.tflite", calibration=calibration, max_drop=1.0, board=Elsewhere()
    )
    assert evidence.accepted, evidence.reasons
    assert [one.isa for one in evidence.executions if one.arithmetic == "board"] == ["board:test"]
