"""`edgedeploy smoke` on this machine as the board, with real bundles."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import Any

import pytest
from click.testing import CliRunner
from msgspec import structs
from support.host_backend import host_bundle

from edgedeploy import api
from edgedeploy.cli.main import cli
from edgedeploy.device.local import LocalConnection
from edgedeploy.device.probe.probe import probe
from edgedeploy.foundation.errors import UnknownNameError
from edgedeploy.measure.bench import bench
from edgedeploy.values.bundle import Bundle
from edgedeploy.values.measurement import Measurement, MeasurementWarning, Validity
from edgedeploy.values.probe import Probe
from edgedeploy.values.smoke import CheckState, Key, Smoke, SmokeFigures, SmokeLine
from edgedeploy.values.throttling import ThrottlingEvent
from edgedeploy.workflows.smoke.conditions import clock_line, conditions, line
from edgedeploy.workflows.smoke.smoke import KEYS, figures_in_words, passes, smoke

pytestmark = pytest.mark.slow

OK, FAILED, OPEN = CheckState.OK, CheckState.FAILED, CheckState.NOT_DETERMINED


@pytest.fixture
def bundle(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bundle:
    return host_bundle(tmp_path / "made" / "a bundle", monkeypatch)


@pytest.fixture
def board(tmp_path: Path) -> LocalConnection:
    return LocalConnection("local:", tmp_path / "a board's home")


def states(found: Smoke) -> dict[Key, CheckState]:
    return {each.key: each.state for each in found.lines}


def line_of(found: Smoke, key: Key) -> SmokeLine:
    return next(each for each in found.lines if each.key == key)


class TestBoard:
    def test_a_bundle_is_pushed_and_passes(self, bundle: Bundle, board: LocalConnection) -> None:
        found = smoke(board, bundle=bundle, seconds=0.2)
        assert found.passed, found.lines
        assert tuple(each.key for each in found.lines) == KEYS
        assert found.release and found.release.id == api.current_release(board).id
        assert found.figures and found.figures.clock == "device" and found.figures.n >= 1
        assert "sent" in line_of(found, "release").figure
        assert "healthy, 4 golden samples, cosine 1.00000" in line_of(found, "golden").figure
        assert "SHA-256 verified" in line_of(found, "files").figure
        assert "latency p50" in line_of(found, "measurement").figure
        # Without a bundle, what is current is looked at, and nothing changes.
        again = smoke(board, seconds=0.2)
        assert again.passed and again.release == found.release
        assert line_of(again, "release").figure.endswith("is current")
        assert "it was before" in line_of(smoke(board, bundle=bundle, seconds=0.1), "release").figure

    def test_an_empty_board_fails_and_says_what_to_do(self, board: LocalConnection) -> None:
        found = smoke(board)
        assert not found.passed and found.release is None and found.figures is None
        assert states(found)["board"] is OK and states(found)["release"] is FAILED
        assert "--bundle" in line_of(found, "release").hint
        for key in ("fits", "files", "golden", "measurement"):
            assert line_of(found, key).state is OPEN and "because of: release" in line_of(found, key).figure
        assert states(found)["memory"] is OK and states(found)["clock"] is OK

    def test_a_damaged_file_is_named_and_nothing_is_run(self, bundle: Bundle, board: LocalConnection) -> None:
        release = api.push(bundle, board).release
        model = Path(release.path) / "model.onnx"
        model.write_bytes(b"x" + model.read_bytes()[1:])
        found = smoke(board)
        assert not found.passed
        assert line_of(found, "files").state is FAILED and "./model.onnx" in line_of(found, "files").figure
        assert "--bundle" in line_of(found, "files").hint
        assert states(found)["golden"] is states(found)["measurement"] is OPEN
        # What the failure says to do mends it.
        assert smoke(board, bundle=bundle, seconds=0.1).passed

    def test_a_release_that_answers_something_else(self, bundle: Bundle, board: LocalConnection, make_bundle) -> None:
        first = smoke(board, bundle=bundle, seconds=0.1)
        found = smoke(board, bundle=make_bundle(name=bundle.manifest.name, version="2", healthy=False))
        assert not found.passed and states(found)["release"] is FAILED
        assert "is not healthy" in line_of(found, "release").figure
        assert api.current_release(board).id == first.release.id  # type: ignore[union-attr]

    def test_a_bundle_for_another_core_is_not_sent(self, make_bundle, board: LocalConnection, tmp_path: Path) -> None:
        found = smoke(board, bundle=make_bundle(architecture="armv6l"))
        assert states(found)["fits"] is FAILED and states(found)["release"] is OPEN
        assert "armv6l" in line_of(found, "fits").figure and "compile" in line_of(found, "fits").hint
        assert not (tmp_path / "a board's home/.edgedeploy/releases").exists()

    def test_without_golden_samples_there_is_no_pass(self, make_bundle, board: LocalConnection) -> None:
        found = smoke(board, bundle=make_bundle())
        assert not found.passed and states(found)["golden"] is OPEN
        assert "compile it again" in line_of(found, "golden").hint

    def test_several_models_have_to_be_told_apart(self, make_bundle, board: LocalConnection) -> None:
        for name in ("one", "two"):
            api.push(make_bundle(name=name), board)
        with pytest.raises(UnknownNameError, match="several models"):
            smoke(board)
        assert line_of(smoke(board, name="two"), "release").figure.startswith("two ")

    def test_figures_that_cannot_be_believed_are_not_called_ok(
        self, bundle: Bundle, board: LocalConnection, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        def throttled(*args: object, **more: Any) -> Measurement:
            warnings = (
                MeasurementWarning(reason="drift +12 %", hint="warm it up", invalidates=False),
                MeasurementWarning(reason="throttled for 14 of 60 s", hint="let it cool", invalidates=True),
            )
            found = bench(*args, **more)  # type: ignore[arg-type]
            assert found.timing is not None
            return structs.replace(
                found,
                timing=structs.replace(found.timing, validity=Validity(outcome="invalid", warnings=warnings[::-1])),
            )

        monkeypatch.setattr("edgedeploy.workflows.smoke.smoke.bench", throttled)
        found = smoke(board, bundle=bundle, seconds=0.2)
        measured = line_of(found, "measurement")
        assert measured.state is OPEN and measured.hint == "let it cool"
        assert "latency p50" in measured.figure and "invalid: throttled for 14 of 60 s" in measured.figure
        # The release works; that is what was asked.
        assert found.passed

    def test_emulated_wall_clock_is_no_latency(self, bundle: Bundle, board: LocalConnection) -> None:
        board.emulated = True
        found = smoke(board, bundle=bundle)
        assert found.passed and found.figures and found.figures.clock == "emulated"
        assert "not a latency" in line_of(found, "measurement").figure
        assert "emulated" in line_of(found, "board").figure


class TestConditions:
    @pytest.fixture
    def said(self, board: LocalConnection) -> Probe:
        found = probe(board, pythons=())
        return structs.replace(
            found, temperature_c=50.0, throttled=(), memory_available_bytes=10**9, disk_free_bytes=10**9
        )

    @pytest.mark.parametrize(
        ("changes", "key", "state", "words"),
        [
            ({}, "temperature", OK, "50 °C"),
            ({"temperature_c": 81.2}, "temperature", FAILED, "81 °C"),
            ({"throttled": (ThrottlingEvent.THROTTLED,)}, "throttling", FAILED, "throttled now"),
            ({"throttled": (ThrottlingEvent.UNDER_VOLTAGE_OCCURRED,)}, "voltage", FAILED, "has occurred"),
            ({"throttled": (ThrottlingEvent.UNDER_VOLTAGE_OCCURRED,)}, "throttling", OK, "none"),
            ({"throttled": None}, "voltage", OPEN, "no sensor for it"),
            ({"throttled": None}, "throttling", OPEN, "no sensor for it"),
            ({"disk_free_bytes": 10}, "disk", FAILED, "10 B free"),
            ({"disk_free_bytes": None}, "disk", OPEN, "does not report"),
        ],
    )
    def test_each_has_its_limit(self, said: Probe, bundle: Bundle, changes, key, state, words) -> None:
        after = structs.replace(said, **changes)
        found = conditions(said, after, line("clock", OK, ""), bundle.manifest, 10**6)
        (chosen,) = (each for each in found if each.key == key)
        assert chosen.state is state and words in chosen.figure
        assert bool(chosen.hint) is (state is FAILED)

    def test_throttling_long_ago_is_told_and_fails_nothing(self, said: Probe) -> None:
        hot = structs.replace(said, throttled=(ThrottlingEvent.THROTTLED_OCCURRED,))
        for before, state in ((hot, OK), (said, FAILED)):
            (chosen,) = (
                each for each in conditions(before, hot, line("clock", OK, ""), None, None) if each.key == "throttling"
            )
            assert chosen.state is state and "throttling has occurred" in chosen.figure

    def test_memory_is_held_against_what_the_model_takes(self, said: Probe) -> None:
        for peak, state in ((10**8, OK), (10**10, FAILED), (None, OK)):
            found = {each.key: each for each in conditions(said, said, line("clock", OK, ""), None, peak)}
            assert found["memory"].state is state

    def test_a_board_that_fell_silent(self, said: Probe) -> None:
        assert {each.state for each in conditions(said, None, line("clock", OPEN, ""), None, None)} == {OPEN}

    @pytest.mark.parametrize(
        ("offset_s", "state", "words"),
        [
            (0, OK, "within 300 s"),
            (-10 * 86_400, FAILED, "10 days behind"),
            (3 * 3600, FAILED, "3 hours ahead of"),
            (None, OPEN, "does not report"),
        ],
    )
    def test_its_clock(self, board: LocalConnection, tmp_path: Path, monkeypatch, offset_s, state, words) -> None:
        tools = tmp_path / "tools"
        tools.mkdir()
        said = "no" if offset_s is None else int(time.time()) + offset_s
        (tools / "date").write_text(f"#!/bin/sh\necho {said}\n")
        (tools / "date").chmod(0o755)
        monkeypatch.setenv("PATH", f"{tools}:/usr/bin:/bin")
        found = clock_line(board)
        assert found.state is state and words in found.figure
        board.counts_instructions = True
        assert clock_line(board).state is OPEN


@pytest.mark.parametrize(
    ("clock", "words", "never"),
    [
        ("device", "latency p50 1.2 ms", "not"),
        ("emulated", "not a latency", "inferences: latency"),
        ("counted", "2,000,000 instructions", "ms"),
        ("checks", "health checks", "latency"),
    ],
)
def test_figures_are_called_what_they_are(clock, words, never) -> None:
    found = figures_in_words(SmokeFigures(clock=clock, n=7, p50_ms=1.2, instructions=2e6))
    assert words in found and never not in found


def test_what_passes() -> None:
    good = tuple(line(key, OK, "") for key in KEYS)
    assert passes(good)
    assert passes((*good[:-1], line("clock", OPEN, "")))
    assert not passes((*good[:-1], line("clock", FAILED, "")))
    assert not passes(tuple(line(key, OPEN if key == "golden" else OK, "") for key in KEYS))
    assert not passes(())


class TestCommand:
    def test_one_screen(self, bundle: Bundle, tmp_path: Path) -> None:
        words = ["smoke", f"local:{tmp_path / 'a board'}", "--seconds", "0.2"]
        empty = CliRunner().invoke(cli, words, standalone_mode=False)
        assert empty.return_value == 1
        assert empty.stdout.startswith("FAIL ") and "what to do next\n  release: edgedeploy smoke" in empty.stdout
        good = CliRunner().invoke(cli, [*words, "--bundle", str(bundle.path)], standalone_mode=False)
        assert good.return_value == 0, good.output
        assert good.stdout.startswith(f"PASS  {bundle.manifest.name} ")
        assert len(good.stdout.splitlines()) <= 24 and "✓ ok" in good.stdout

    def test_json_is_the_value(self, bundle: Bundle, tmp_path: Path) -> None:
        words = ["smoke", f"local:{tmp_path / 'b'}", "--bundle", str(bundle.path), "--seconds", "0.2", "--json"]
        done = CliRunner().invoke(cli, words, standalone_mode=False)
        said = json.loads(done.stdout)
        assert said["passed"] is True and [each["key"] for each in said["lines"]] == list(KEYS)

    def test_name_and_bundle_do_not_go_together(self) -> None:
        done = CliRunner().invoke(cli, ["smoke", "local:", "--name", "x", "--bundle", "y"])
        assert done.exit_code == 2 and "--name" in done.output
