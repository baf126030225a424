"""`action.yml` and the files for other CI systems are what those take, and their steps do what they say."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, ClassVar

import pytest
from ruamel.yaml import YAML

from edgedeploy.cli.main import cli

ROOT = Path(__file__).parents[2]
ACTION = YAML(typ="safe").load(ROOT / "action.yml")
STEPS = {step["name"]: step for step in ACTION["runs"]["steps"]}
CI = ROOT / "docs" / "ci"


def held(schema: str, file: Path) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-m", "check_jsonschema", "--builtin-schema", schema, str(file)]
    return subprocess.run(words, capture_output=True, text=True, check=False)


def run(step: str, folder: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run a step of the action as GitHub does: its words in a file, with bash."""
    script = folder / "step.sh"
    script.write_text(STEPS[step]["run"])
    words = ["bash", "--noprofile", "--norc", "-eo", "pipefail", str(script)]
    known = {
        "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
        "GITHUB_ACTION_PATH": str(ROOT),
        "GITHUB_OUTPUT": str(folder / "output"),
        "GITHUB_STEP_SUMMARY": str(folder / "summary"),
    }
    return subprocess.run(words, cwd=folder, env={**known, **environment}, capture_output=True, text=True, check=False)


def outputs(folder: Path) -> dict[str, str]:
    return dict(line.split("=", 1) for line in (folder / "output").read_text().splitlines())


@pytest.mark.slow
@pytest.mark.parametrize(
    ("schema", "file"),
    [
        ("vendor.github-actions", ROOT / "action.yml"),
        ("vendor.gitlab-ci", CI / "gitlab-ci.yml"),
        ("vendor.buildkite", CI / "buildkite.yml"),
    ],
    ids=lambda each: Path(each).name,
)
def test_each_is_what_its_system_takes(schema: str, file: Path) -> None:
    done = held(schema, file)
    assert done.returncode == 0, done.stdout + done.stderr


def workflows() -> list[str]:
    return re.findall(r"```yaml\n(.*?)```", (ROOT / "docs/ci.md").read_text(), re.DOTALL)


@pytest.mark.slow
def test_the_workflows_in_the_documents_are_ones(tmp_path: Path) -> None:
    assert workflows()
    for number, workflow in enumerate(workflows()):
        file = tmp_path / f"{number}.yml"
        file.write_text(workflow)
        # With a time limit: a board that hangs is not to cost six hours.
        for schema in ("vendor.github-workflows", "custom.github-workflows-require-timeout"):
            done = held(schema, file)
            assert done.returncode == 0, done.stdout + done.stderr


def test_the_workflows_in_the_documents_give_inputs_that_there_are() -> None:
    for workflow in workflows():
        steps = YAML(typ="safe").load(workflow)["jobs"]["gate"]["steps"]
        (ours,) = (step for step in steps if step["uses"].startswith("edgedeploy/"))
        assert set(ours["with"]) <= set(ACTION["inputs"]) and "contract" in ours["with"]


@pytest.mark.slow
def test_what_is_no_workflow_is_found_out(tmp_path: Path) -> None:
    file = tmp_path / "model.yml"
    file.write_text("name: x\non: [pull_request]\njobs:\n  a:\n    steps: 1\n")
    assert held("vendor.github-workflows", file).returncode == 1


def test_actions_of_others_are_pinned_by_commit() -> None:
    text = (ROOT / "action.yml").read_text() + "".join(workflows())
    used = [line for line in re.findall(r"uses: (.*)", text) if not line.startswith("edgedeploy/edgedeploy@")]
    assert len(used) >= 4
    for line in used:
        assert re.fullmatch(r"[\w-]+/[\w/-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line), line


def test_only_what_can_be_made_again_is_cached() -> None:
    caches = [step for step in STEPS.values() if "actions/cache" in step.get("uses", "")]
    assert len(caches) == 2
    for step in caches:
        folders = {Path(path).name for path in step["with"]["path"].split()}
        assert folders == {"packages", "images", "runtimes", "converters", "zig"}
    # Boards have keys and what was pushed to them.
    gitlab = YAML(typ="safe").load(CI / "gitlab-ci.yml")
    assert {Path(path).name for path in gitlab["gate"]["cache"]["paths"]} == folders


def test_the_key_of_the_cache_changes_with_what_it_holds(tmp_path: Path) -> None:
    def key(**changes: str) -> dict[str, str]:
        (tmp_path / "output").unlink(missing_ok=True)
        asked = {"TARGET": "rpi4", "BACKEND": "auto", "MINIMAL": "false", "EXTRAS": ""}
        done = run("Name the cache", tmp_path, **(asked | changes))
        assert done.returncode == 0, done.stderr
        return outputs(tmp_path)

    same = key()
    assert key() == same and same["key"].startswith(same["held"])
    for changes in ({"TARGET": "rpi2"}, {"BACKEND": "native"}, {"MINIMAL": "true"}, {"EXTRAS": "tflite"}):
        assert key(**changes)["key"] != same["key"] and key(**changes)["held"] == same["held"]
    other = tmp_path / "another action"
    other.mkdir()
    (other / "requirements-dev.lock").write_text("other\n")
    assert key(GITHUB_ACTION_PATH=str(other))["held"] != same["held"]


def test_the_versions_that_are_installed_are_those_of_the_lock() -> None:
    (command,) = re.findall(r"sed -n '[^']+'", STEPS["Install"]["run"])
    done = subprocess.run(
        ["bash", "-c", f"{command} {ROOT}/requirements-dev.lock"], capture_output=True, text=True, check=True
    )
    lock = (ROOT / "requirements-dev.lock").read_text()
    lines = done.stdout.splitlines()
    assert len(lines) == len(re.findall(r"^[A-Za-z0-9].*==", lock, re.MULTILINE))
    assert not [line for line in lines if "\\" in line or "--hash" in line]


@pytest.fixture
def told(tmp_path: Path) -> Path:
    """A program in place of edgedeploy that writes down what it is told, a word a line."""
    program = tmp_path / "edgedeploy"
    program.write_text('#!/bin/sh\nprintf "%s\\n" "$@" >"${0%/*}/told"\nexit 11\n')
    program.chmod(0o755)
    return program


def test_the_gate_gets_the_inputs_and_its_code_is_the_steps(told: Path, tmp_path: Path) -> None:
    given = {
        "CONTRACT": "a model/contract.toml\nb.toml\n",
        "TARGET": "rpi4 rpi2",
        "BACKEND": "native",
        "MINIMAL": "true",
        "STRICT": "true",
        "BASELINE": "base line.json",
        "OUT": "an out",
    }
    done = run("Gate", tmp_path, EDGEDEPLOY=str(told), **given)
    assert done.returncode == 11, done.stderr
    words = (tmp_path / "told").read_text().splitlines()
    assert words[0] == "gate" and words[-2:] == ["a model/contract.toml", "b.toml"]
    parsed = cli.get_command(None, "gate").make_context("gate", words[1:])
    assert parsed.params["targets"] == ("rpi4", "rpi2")
    assert [str(parsed.params[name]) for name in ("backend", "minimal", "strict", "baseline", "folder")] == [
        *("native", "True", "True", "base line.json", "an out")
    ]
    plain = {"CONTRACT": "a.toml", "TARGET": "rpi4", "BACKEND": "auto", "OUT": "out"}
    run("Gate", tmp_path, EDGEDEPLOY=str(told), **plain, MINIMAL="false", STRICT="false", BASELINE="")
    assert not {"--baseline", "--minimal", "--strict"} & set((tmp_path / "told").read_text().splitlines())


def gated(folder: Path, *cells: dict[str, Any], holds: bool = True) -> None:
    folder.mkdir()
    (folder / "gate.json").write_text(json.dumps({"holds": holds, "cells": cells}))
    (folder / "summary.md").write_text("## the summary\n")


def cell(name: str, target: str, instructions: float | None) -> dict[str, Any]:
    return {
        "contract": "models/a b/contract.toml",
        "name": name,
        "target": target,
        "instructions": instructions,
        "model_size_bytes": 193_913,
    }


def test_outputs_of_one_model_are_numbers(tmp_path: Path) -> None:
    gated(tmp_path / "out", cell("text-direction", "rpi4", 12_062_976.0))
    done = run("Outputs and summary", tmp_path, OUT="out")
    assert done.returncode == 0, done.stderr
    assert outputs(tmp_path) == {
        "holds": "true",
        "instructions": "12062976",
        "size": "193913",
        "artifact": "edgedeploy-text-direction-rpi4",
    }
    assert (tmp_path / "summary").read_text() == "## the summary\n"
    assert set(ACTION["outputs"]) == set(outputs(tmp_path)) - {"artifact"}


def test_outputs_of_several_are_objects(tmp_path: Path) -> None:
    gated(tmp_path / "out", cell("a", "rpi4", 12.5), cell("a", "rpi2", None), holds=False)
    run("Outputs and summary", tmp_path, OUT="out")
    found = outputs(tmp_path)
    assert (found["holds"], json.loads(found["instructions"])) == ("false", {"a rpi4": 12.5})
    assert found["artifact"] == "edgedeploy-a-rpi4-rpi2"


def test_outputs_where_nothing_began(tmp_path: Path) -> None:
    gated(tmp_path / "out", cell("", "rpi4", None), holds=False)
    run("Outputs and summary", tmp_path, OUT="out")
    assert outputs(tmp_path)["artifact"] == "edgedeploy-a-b-rpi4"
    (tmp_path / "output").unlink()
    assert run("Outputs and summary", tmp_path, OUT="no such folder").returncode == 0
    assert outputs(tmp_path) == {"holds": "false", "artifact": "edgedeploy"}


class PullRequest(BaseHTTPRequestHandler):
    """The comments of a pull request, as GitHub's API has them: 100 a page."""

    comments: ClassVar[dict[int, str]] = {}
    may_write: ClassVar[bool] = True

    def do_GET(self) -> None:
        page = int(self.path.rpartition("page=")[2])
        found = [{"id": number, "body": body} for number, body in sorted(self.comments.items())]
        self._answer(200, found[100 * (page - 1) : 100 * page])

    def do_POST(self) -> None:
        assert self.path == "/repos/o/r/issues/7/comments"
        self._write(max(self.comments, default=0) + 1)

    def do_PATCH(self) -> None:
        beginning, _, number = self.path.rpartition("/")
        assert beginning == "/repos/o/r/issues/comments"
        self._write(int(number))

    def _write(self, number: int) -> None:
        assert self.headers["Authorization"] == "Bearer a-token"
        content = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        if not self.may_write:
            return self._answer(403, {"message": "Resource not accessible by integration"})
        self.comments[number] = content["body"]
        return self._answer(200, {"html_url": f"https://github.com/o/r/pull/7#issuecomment-{number}"})

    def _answer(self, status: int, value: object) -> None:
        content = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    def log_message(self, *args: object) -> None:
        pass


@pytest.fixture
def github() -> Iterator[dict[str, str]]:
    PullRequest.comments, PullRequest.may_write = {}, True
    server = ThreadingHTTPServer(("127.0.0.1", 0), PullRequest)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield {
        "GITHUB_API_URL": f"http://127.0.0.1:{server.server_port}",
        "GITHUB_REPOSITORY": "o/r",
        "GH_TOKEN": "a-token",
        "NUMBER": "7",
        "OUT": "out",
    }
    server.shutdown()
    thread.join()
    server.server_close()


def test_there_is_one_comment_for_each_contract(tmp_path: Path, github: dict[str, str]) -> None:
    gated(tmp_path / "out")
    # Beyond the first page, too.
    PullRequest.comments = {number: "somebody's words" for number in range(1, 121)}
    for words in ("a.toml rpi4", "b.toml rpi4", "a.toml rpi4", "a --> <b>.toml rpi4"):
        done = run("Comment", tmp_path, WORDS=words, **github)
        assert done.returncode == 0 and "issuecomment-" in done.stdout, done.stderr
    bodies = [body for body in PullRequest.comments.values() if body != "somebody's words"]
    assert len(bodies) == 3
    for body in bodies:
        assert re.fullmatch(r"<!-- edgedeploy gate [0-9a-f]{16} -->\n## the summary\n", body)


def test_a_token_that_may_only_read_is_no_failure(tmp_path: Path, github: dict[str, str]) -> None:
    gated(tmp_path / "out")
    PullRequest.may_write = False
    done = run("Comment", tmp_path, WORDS="a.toml rpi4", **github)
    assert done.returncode == 0 and "::notice::" in done.stdout and "HTTP 403" in done.stdout


def test_a_long_summary_is_cut(tmp_path: Path, github: dict[str, str]) -> None:
    gated(tmp_path / "out")
    (tmp_path / "out/summary.md").write_text("é" * 100_000)
    assert run("Comment", tmp_path, WORDS="a.toml rpi4", **github).returncode == 0
    (body,) = PullRequest.comments.values()
    assert len(body) == 65_536 and body.endswith("in the summary of the run.\n")


def test_the_commands_of_other_systems_parse(tmp_path: Path) -> None:
    for name in ("gitlab-ci.yml", "buildkite.yml", "Jenkinsfile"):
        text = (CI / name).read_text().replace("\\\n", " ")
        (line,) = re.findall(r"edgedeploy (gate .*)", text)
        words = re.sub(r'"\$\w+"', "x", line).split()
        parsed = cli.get_command(None, "gate").make_context("gate", words[1:])
        assert str(parsed.params["folder"]) == "gate"
        assert "gate/junit.xml" in text or "gate/**" in text


def test_the_hook_of_pre_commit_is_a_command() -> None:
    """Its manifest has the keys of https://pre-commit.com/#new-hooks, and takes several files in one call."""
    (hook,) = YAML(typ="safe").load(ROOT / ".pre-commit-hooks.yaml")
    assert {"id", "name", "entry", "language"} <= set(hook)
    program, *words = hook["entry"].split()
    assert program == "edgedeploy"
    group = cli.get_command(None, words[0])
    parsed = group.get_command(None, words[1]).make_context(words[1], ["a/contract.toml", "b/contract.toml"])
    assert len(parsed.params["contracts"]) == 2
    assert re.search(hook["files"], "models/a/contract.toml") and not re.search(hook["files"], "my-contract.toml")


def test_the_script_is_the_command(told: Path, tmp_path: Path) -> None:
    done = subprocess.run(
        [ROOT / "scripts/gate", "a contract.toml", "--save"],
        env={**os.environ, "EDGEDEPLOY": str(told)},
        capture_output=True,
        check=False,
    )
    assert done.returncode == 11
    assert (tmp_path / "told").read_text().splitlines() == ["gate", "a contract.toml", "--save"]
