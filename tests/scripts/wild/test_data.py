from __future__ import annotations

from pathlib import Path

import numpy as np
import onnx
import onnx.parser
import onnxruntime
import pytest
from peers import feeds
from wild.catalogue import CATALOGUE
from wild.files import file_features
from wild.models import models
from wild.reactions import Molecule, atom_classes, reactions
from wild.signals import sleep
from wild.sounds import CONTEXT, WINDOW, notes, stream_f1, windows_of
from wild.topologies import with_random_weights

from edgedeploy.datasets.dataset import open_dataset
from edgedeploy.model.inspect import inspect_model

WHOLE = """<ir_version: 8, opset_import: ["": 17]>
stateful (float[N, 3] x, float[2, N, 4] state, int64 rate) => (float[N, 3] y) {
    y = Identity(x)
    unused = Identity(state)
    also_unused = Identity(rate)
}"""
BATCHED = """<ir_version: 8, opset_import: ["": 17]> batched (float[N, 3] x) => (float[N, 3] y) { y = Identity(x) }"""


@pytest.mark.parametrize(
    ("text", "arrays"),
    [
        (BATCHED, {"x": np.arange(12, dtype=np.float32).reshape(4, 3), "labels": np.arange(8).reshape(4, 2)}),
        (
            WHOLE,
            {
                "x": np.arange(12, dtype=np.float32).reshape(4, 1, 3),
                "state": np.arange(32, dtype=np.float32).reshape(4, 2, 1, 4),
                "rate": np.full(4, 16000),
                "labels": np.arange(12).reshape(4, 1, 3),
            },
        ),
    ],
)
def test_other_tools_are_given_the_samples_that_edgedeploy_reads(tmp_path: Path, text, arrays):
    model, data = tmp_path / "model.onnx", tmp_path / "data.npz"
    onnx.save(onnx.parser.parse_model(text), model)
    np.savez(data, **arrays)
    ours = list(open_dataset(str(data), inspect_model(model).inputs).samples())
    theirs = list(feeds.samples(model, data))
    assert len(ours) == len(theirs) == 4
    for sample, (feed, labels) in zip(ours, theirs, strict=True):
        assert sample.feed.keys() == feed.keys()
        for name in feed:
            np.testing.assert_array_equal(sample.feed[name], feed[name], strict=True)
        np.testing.assert_array_equal(sample.labels, labels, strict=True)


def test_a_file_is_its_first_and_last_bytes_without_white_space_at_the_edges():
    short = file_features(b"  abc \n")
    assert short[:4].tolist() == [*b"abc", 256] and short[-4:].tolist() == [256, *b"abc"]
    long = file_features(b"\n" + b"a" * 3000 + b"b" * 3000 + b" ")
    assert long.shape == (2048,) and set(long[:1024]) == {ord("a")} and set(long[1024:]) == {ord("b")}


def test_windows_overlap_by_their_context():
    sound = np.arange(3 * WINDOW, dtype=np.float32)
    windows = windows_of(sound)
    assert windows.shape == (3, CONTEXT + WINDOW)
    assert not windows[0, :CONTEXT].any()
    np.testing.assert_array_equal(windows[1, :CONTEXT], windows[0, -CONTEXT:])


def test_in_a_stream_a_model_is_fed_with_its_own_states():
    def remembers(feed):
        # Says «voice» as soon as it has seen a loud window, by its state.
        after = feed["state"] + np.abs(feed["input"][:, CONTEXT:]).max()
        return [np.array([[float(after.max() > 0.5)]]), after]

    loud = np.zeros(4 * WINDOW, dtype=np.float32)
    loud[WINDOW] = 1.0
    stream = {"sound": loud, "voiced": np.array([0, 1, 1, 1]), "clear": np.array([True, True, True, False])}
    assert stream_f1(remembers, ["input", "state"], stream) == 1.0
    assert stream_f1(remembers, ["input", "state"], stream | {"voiced": np.array([1, 0, 1, 1])}) == 0.5


def test_notes_sound_where_the_labels_say_so():
    sounds, active = notes(4, seed=3)
    power = (sounds[:, : 172 * 254, 0].reshape(4, 172, -1) ** 2).mean(axis=2)
    sounding = active.any(axis=2)
    assert sounding.any() and not sounding.all()
    assert power[sounding].mean() > 50 * power[~sounding].mean()


def test_spindles_lie_where_the_labels_say_so_and_seeds_tell_recordings_apart():
    raw, scalogram, labels = sleep(3, seed=5)
    assert raw.shape == (3, 1, 7500) and scalogram.shape == (3, 15, 7500) and labels.shape == (3, 7500)
    inside = labels == 1
    assert inside.any() and scalogram.max(axis=1)[inside].mean() > scalogram.max(axis=1)[~inside].mean() + 0.5
    assert np.array_equal(raw, sleep(3, seed=5)[0])
    assert not np.array_equal(raw, sleep(3, seed=6)[0])


def test_every_atom_of_a_product_has_an_origin_of_its_element_and_one_atom_is_lost():
    drawn = reactions(20, seed=4)
    for elements, classes, wanted in drawn["labels"]:
        reactants, product = classes >= 0, wanted >= 0
        assert reactants.sum() == product.sum() + 1
        kinds = dict(zip(classes[reactants].tolist(), elements[reactants].tolist(), strict=True))
        assert [kinds[one] for one in wanted[product].tolist()] == elements[product].tolist()
    # Two molecules do not see each other, and every atom is at distance 0 from itself.
    distances, roles = drawn["distances"], drawn["roles"]
    assert set(np.unique(distances)) <= set(range(13))
    for one, role in zip(distances, roles, strict=True):
        assert (np.diag(one)[role >= 2] == 2).all() and np.array_equal(one, one.T)
        assert not one[np.ix_(role == 2, role == 3)].any()


def test_atoms_that_cannot_be_told_apart_have_one_class():
    ring = Molecule()
    for index in range(6):
        ring.add("C", index - 1 if index else None)
    ring.bonds[0, 5] = 1
    assert len(set(atom_classes(ring))) == 1
    ring.add("O", 0)
    assert atom_classes(ring)[1] == atom_classes(ring)[5] != atom_classes(ring)[2]


@pytest.mark.slow
def test_a_topology_gets_weights_of_its_real_size_and_answers_that_differ(tmp_path: Path):
    light = Path(onnx.__file__).parent / "backend/test/data/light/light_squeezenet.onnx"
    with_random_weights(light, tmp_path / "a.onnx", seed=1)
    with_random_weights(light, tmp_path / "b.onnx", seed=1)
    assert (tmp_path / "a.onnx").read_bytes() == (tmp_path / "b.onnx").read_bytes()
    assert (tmp_path / "a.onnx").stat().st_size > 4 * 1_200_000 > 100 * light.stat().st_size / 3
    session = onnxruntime.InferenceSession(tmp_path / "a.onnx")
    (taken,) = session.get_inputs()
    from wild.pictures import imagenet_scenes

    answers = {
        int(session.run(None, {taken.name: picture[np.newaxis]})[0].argmax()) for picture in imagenet_scenes(6, seed=9)
    }
    assert len(answers) > 1


def test_the_catalogue_names_every_model_once_and_metrics_that_are_there():
    from wild import metrics

    names = [model.name for model in CATALOGUE]
    assert len(set(names)) == len(names) == 25
    for model in CATALOGUE:
        module, _, function = model.metric.partition(":")
        assert model.metric == "top1" or (module == "scripts.wild.metrics" and hasattr(metrics, function))


def test_what_is_not_in_the_catalogue_is_said():
    with pytest.raises(ValueError, match="no such model: nothing; there are ocr-direction"):
        models(names=["nothing"])
