"""What a release's own check says is read once, and what it refused with is shown whole."""

from __future__ import annotations

import ast
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

import edgedeploy
from edgedeploy.deploy.health import CheckReport, parse_report, require_health
from edgedeploy.deploy.push import push
from edgedeploy.device.local import LocalConnection
from edgedeploy.foundation.errors import DeviceError


def test_a_report_is_read_field_by_field() -> None:
    line = '{"healthy": true, "problem": null, "golden_samples": 8, "cosine": 0.999999, "peak_rss_bytes": 64000000}'
    report = parse_report(f"warning\n{line}\n")
    assert report == CheckReport(
        line=line, healthy=True, golden_samples=8, cosine=0.999999, problem=None, peak_rss_bytes=64_000_000
    )
    assert report.words == "healthy, 8 golden samples, cosine 1.00000, peak memory 64 MB"


@pytest.mark.parametrize("output", ["", "fine", "[1]", "7", '{"healthy": true}', '{"healthy": 1, "golden_samples": 2}'])
def test_what_is_no_report_is_shown_as_it_came(output: str) -> None:
    assert parse_report(output).words == output


@pytest.mark.parametrize("value", ["null", "true", "0", "-1", "1.5", '"61"', "[]", "{}", "1e400", "1e17", str(1 << 60)])
def test_memory_is_a_positive_count_of_bytes_or_not_determined(value: str) -> None:
    report = parse_report(f'{{"healthy": true, "golden_samples": 1, "peak_rss_bytes": {value}}}')
    assert report.peak_rss_bytes is None
    assert report.words == "healthy, 1 golden samples"


@pytest.mark.parametrize("value", ["NaN", "Infinity", "-Infinity", "1e400", "1.5", "-1.5", "true"])
def test_a_cosine_that_cannot_be_is_not_determined(value: str) -> None:
    report = parse_report(f'{{"healthy": true, "golden_samples": 1, "cosine": {value}}}')
    assert report.cosine is None
    assert report.words == "healthy, 1 golden samples"


@given(st.text())
def test_a_check_may_say_anything(output: str) -> None:
    assert isinstance(parse_report(output).words, str)


@pytest.mark.slow
def test_a_refusal_shows_all_that_the_check_said_last(make_bundle, tmp_path: Path) -> None:
    """A traceback on standard output ends with a line that says little by itself."""
    run = b"#!/bin/sh\necho 'cannot load libfoo.so.1'\necho 'giving up'\necho 'on standard error' >&2\nexit 1\n"
    with pytest.raises(DeviceError, match="is not healthy") as caught:
        push(make_bundle(files={"run": run}), LocalConnection("local:", tmp_path / "device"))
    assert caught.value.why == "cannot load libfoo.so.1 | giving up | on standard error"


@pytest.mark.slow
def test_a_check_that_does_not_end(make_bundle, tmp_path: Path) -> None:
    device = LocalConnection("local:", tmp_path / "device")
    release = push(make_bundle(), device).release
    run = Path(release.path) / "run"
    run.unlink()
    run.write_text("#!/bin/sh\nsleep 600\n")
    run.chmod(0o755)
    with pytest.raises(DeviceError, match="did not end"):
        require_health(device, release.name, release.id, timeout_s=0.3)


@pytest.mark.slow
def test_no_parameter_hides_what_its_module_imports() -> None:
    package = Path(edgedeploy.__file__).parent
    hidden = []
    for path in [path for room in ("bundle", "debian", "deploy", "device") for path in (package / room).rglob("*.py")]:
        module = ast.parse(path.read_text())
        imported = {
            alias.asname or alias.name.partition(".")[0]
            for node in module.body
            if isinstance(node, ast.Import | ast.ImportFrom)
            for alias in node.names
        }
        for node in ast.walk(module):
            if isinstance(node, ast.FunctionDef):
                every = (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
                hidden += [f"{path.name}:{node.name}({each.arg})" for each in every if each.arg in imported]
    assert hidden == []
