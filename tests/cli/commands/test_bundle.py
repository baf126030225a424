from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from edgedeploy.bundle.archive import write_edge_file
from edgedeploy.values.bundle import MANIFEST_NAME, Bundle


@pytest.fixture(params=["folder", "one file"])
def bundle(request, make_bundle, tmp_path) -> tuple[Bundle, Path]:
    made = make_bundle(files={f"runtime/{number:02}": bytes(number) for number in range(20)})
    if request.param == "folder":
        return made, made.path
    path = tmp_path / "model.edge"
    write_edge_file(made.path, made.manifest, (made.path / MANIFEST_NAME).read_bytes(), path)
    return made, path


def test_show(edgedeploy, bundle):
    made, path = bundle
    code, out, _ = edgedeploy("bundle", "show", path)
    assert code == 0
    assert {"release   model 1", f"sha256    {made.sha256}"} <= set(out.splitlines())
    assert "model.onnx" in out
    assert "… 10 more" in out
    code, out, _ = edgedeploy("bundle", "show", path, "--json")
    found = json.loads(out)
    assert (code, found["path"], found["sha256"]) == (0, str(path), made.sha256)
    assert found["manifest"] == json.loads((made.path / MANIFEST_NAME).read_bytes())


def test_verify(edgedeploy, bundle):
    made, path = bundle
    code, out, _ = edgedeploy("bundle", "verify", path)
    assert code == 0
    assert f"is complete: {len(made.manifest.files) + 1} files" in out
    assert made.sha256 in out
    assert json.loads(edgedeploy("bundle", "verify", path, "--json")[1])["sha256"] == made.sha256


def test_verify_says_no(edgedeploy, bundle):
    _, path = bundle
    touched = path / "model.onnx" if path.is_dir() else path
    content = touched.read_bytes()
    touched.write_bytes(content.replace(b"the model", b"THE MODEL"))
    assert edgedeploy("bundle", "show", path)[0] == 0
    code, out, err = edgedeploy("bundle", "verify", path)
    assert (code, out) == (11, "")
    assert "model.onnx" in err
    assert "is not what the manifest says" in err
    assert "Traceback" not in err


def test_what_is_no_bundle(edgedeploy, tmp_path):
    (tmp_path / "notes.txt").write_text("notes")
    os.mkfifo(tmp_path / "pipe.edge")
    for path, words in (
        (tmp_path / "notes.txt", "is not a bundle"),
        (tmp_path / "pipe.edge", "is not a bundle"),
        (tmp_path / "none.edge", "does not exist"),
    ):
        for command in ("show", "verify"):
            code, _, err = edgedeploy("bundle", command, path)
            assert code == 3
            assert words in err


def test_pack(edgedeploy, make_bundle, tmp_path):
    made = make_bundle()
    out = tmp_path / "packed.edge"
    code, said, _ = edgedeploy("bundle", "pack", made.path, "-o", out)
    assert code == 0
    assert made.sha256 in said
    assert edgedeploy("bundle", "verify", out)[0] == 0
    assert edgedeploy("bundle", "pack", made.path, "-o", out)[0] == 0
    (tmp_path / "notes.edge").write_text("notes")
    for source, place, words in (
        (made.path, tmp_path / "packed.tar", "end with .edge"),
        (made.path, tmp_path / "notes.edge", "is not replaced"),
        (out, tmp_path / "again.edge", "one file already"),
    ):
        code, _, err = edgedeploy("bundle", "pack", source, "-o", place)
        assert (code, words in err) == (3, True)
    (made.path / "model.onnx").write_bytes(b"touched")
    assert edgedeploy("bundle", "pack", made.path, "-o", tmp_path / "other.edge")[0] == 11
    assert not (tmp_path / "other.edge").exists()


def test_schema(edgedeploy):
    code, out, _ = edgedeploy("bundle", "schema", "--json")
    assert (code, json.loads(out)["title"]) == (0, "manifest.json of an edgedeploy bundle")
