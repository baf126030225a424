"""The command as a whole: help, lazy imports, exit codes, interruption."""

from __future__ import annotations

import errno
import inspect
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path

import click
import pytest
from click.testing import CliRunner

from edgedeploy.cli import main as cli_main
from edgedeploy.foundation import errors

EDGEDEPLOY = [sys.executable, "-c", "from edgedeploy.cli.main import main; main()"]
HEAVY = set("cryptography cyclonedx filelock jinja2 msgspec numpy onnx onnx_ir onnxruntime paramiko rich".split())


def all_commands() -> list[tuple[str, ...]]:
    found: list[tuple[str, ...]] = [()]
    context = click.Context(cli_main.cli)
    for name in cli_main.cli.list_commands(context):
        found.append((name,))
        command = cli_main.cli.get_command(context, name)
        if isinstance(command, click.Group):
            found += [(name, sub) for sub in command.list_commands(context)]
    return found


@pytest.mark.parametrize("words", all_commands(), ids=lambda words: " ".join(words) or "edgedeploy")
def test_every_command_has_help(words: tuple[str, ...]) -> None:
    result = CliRunner().invoke(cli_main.cli, [*words, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage:" in result.output
    if words and words not in [("baseline",), ("contract",), ("data",), ("board",), ("board", "ssh"), ("bundle",)]:
        assert "--json" in result.output
        assert "--quiet" in result.output


# Run in a process of its own: a module that one test has loaded stays loaded for all.
LOADED = """
import contextlib, io, json, sys
from edgedeploy.cli.main import cli
import edgedeploy.api

heavy, commands = set(json.loads(sys.argv[1])), json.loads(sys.argv[2])
loaded = {"import edgedeploy.api": heavy & set(sys.modules)}
for words in commands:
    with contextlib.redirect_stdout(io.StringIO()):
        cli.main(words, standalone_mode=False)
    loaded[" ".join(["edgedeploy", *words])] = heavy & set(sys.modules)
print(json.dumps({what: sorted(names) for what, names in loaded.items() if names}))
"""


def heavy_modules(heavy: set[str], *commands: list[str]) -> dict[str, list[str]]:
    """Which of `heavy` are loaded after importing the API and after each command, where any are."""
    words = [json.dumps(sorted(heavy)), json.dumps(commands)]
    done = subprocess.run([sys.executable, "-c", LOADED, *words], capture_output=True, text=True, check=True)
    loaded: dict[str, list[str]] = json.loads(done.stdout)
    return loaded


def test_the_api_and_help_load_nothing_heavy() -> None:
    assert heavy_modules(HEAVY, ["--help"], ["--version"], ["push", "--help"], ["ship", "--help"]) == {}


def test_the_help_of_every_command_loads_no_library_that_runs_it() -> None:
    assert heavy_modules(HEAVY - {"msgspec"}, *([*words, "--help"] for words in all_commands())) == {}


def test_unknown_command_suggests_the_near_one() -> None:
    result = CliRunner().invoke(cli_main.cli, ["optimise"])
    assert result.exit_code == 2
    assert "Did you mean 'optimize'?" in result.output


def test_exit_codes_in_help_are_those_of_the_errors() -> None:
    text = CliRunner().invoke(cli_main.cli, ["--help"]).output
    told = {int(code): meaning for code, meaning in re.findall(r"^ +(\d+)  (.+)$", text, re.MULTILINE)}
    kinds = [
        kind
        for _, kind in inspect.getmembers(errors, inspect.isclass)
        if issubclass(kind, errors.EdgedeployError) and kind is not errors.EdgedeployError
    ]
    assert {kind.exit_code: kind.meaning for kind in kinds} == {code: told[code] for code in told if 3 <= code < 70}
    assert len({kind.exit_code for kind in kinds}) == len(kinds)
    assert {0, 1, 2, 70, 130} <= set(told)


@pytest.mark.slow
def test_error_is_a_message_with_its_exit_code_and_no_traceback(tmp_path: Path) -> None:
    done = subprocess.run(
        [*EDGEDEPLOY, "inspect", str(tmp_path / "nope.onnx")], capture_output=True, text=True, check=False
    )
    assert done.returncode == errors.InvalidFileError.exit_code
    assert done.stdout == ""
    assert done.stderr.startswith("error: ")
    assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.parametrize("words", [["recipes", "int8", "--json"], ["--help"], ["recipes", "--help"], ["--version"]])
def test_reader_that_goes_away_is_neither_yes_nor_no(words: list[str]) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run([*EDGEDEPLOY, *words], stdout=writing, stderr=subprocess.PIPE, check=False)
    finally:
        os.close(writing)
    assert (done.returncode, done.stderr) == (141, b"")


@pytest.mark.slow
@pytest.mark.parametrize(
    ("words", "exit_code"),
    [
        (["inspect", "nope.onnx"], errors.InvalidFileError.exit_code),
        (["optimise"], 2),
    ],
)
def test_reader_of_messages_that_goes_away(words: list[str], exit_code: int, tmp_path: Path) -> None:
    reading, writing = os.pipe()
    os.close(reading)
    try:
        done = subprocess.run([*EDGEDEPLOY, *words], stdout=subprocess.PIPE, stderr=writing, cwd=tmp_path, check=False)
    finally:
        os.close(writing)
    assert (done.returncode, done.stdout) == (exit_code, b"")


@pytest.mark.slow
def test_output_that_does_not_fit_is_said() -> None:
    with Path("/dev/full").open("wb") as full:
        done = subprocess.run([*EDGEDEPLOY, "recipes", "--json"], stdout=full, stderr=subprocess.PIPE, check=False)
    assert done.returncode == errors.HostError.exit_code
    assert b"the output cannot be written" in done.stderr
    assert b"Traceback" not in done.stderr


@pytest.mark.slow
def test_closed_streams_are_no_traceback() -> None:
    command = 'exec "$@" 1>&- 2>&-'
    done = subprocess.run(["sh", "-c", command, "sh", *EDGEDEPLOY, "recipes"], capture_output=True, check=False)
    assert done.returncode == 0


def test_pipe_that_breaks_elsewhere_is_not_taken_for_the_answer_no(monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(*_: object) -> None:
        raise BrokenPipeError(errno.EPIPE, "Broken pipe")

    monkeypatch.setattr(click.Group, "invoke", broken)
    monkeypatch.setattr(sys, "argv", ["edgedeploy", "recipes"])
    with pytest.raises(SystemExit) as ended:
        cli_main.main()
    assert ended.value.code == 70


@pytest.mark.slow
def test_ctrl_c_ends_with_130_and_one_word(tmp_path: Path) -> None:
    (tmp_path / "slow_data.py").write_text(
        "import time\ndef feeds():\n    print('begun', flush=True)\n    time.sleep(60)\n    yield {}\n"
    )
    (tmp_path / "model.onnx").write_bytes(_model())
    process = subprocess.Popen(
        [
            *EDGEDEPLOY,
            "optimize",
            "model.onnx",
            "--recipe",
            "fold",
            "--evaluation",
            "slow_data:feeds",
            "-o",
            "out.onnx",
        ],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        cwd=tmp_path,
        # A shell that starts the tests in the background has them ignore it, and children inherit that.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "begun\n"
    process.send_signal(signal.SIGINT)
    _, said = process.communicate(timeout=30)
    assert process.returncode == 130
    assert said.strip().splitlines()[-1] == "interrupted"
    assert "Traceback" not in said
    assert sorted(path.name for path in tmp_path.glob("*out.onnx*")) == []


def _model() -> bytes:
    import onnx.parser

    model = onnx.parser.parse_model(
        '<ir_version: 8, opset_import: ["": 17]> g (float[N,2] x) => (float[N,2] y) { y = Relu (x) }'
    )
    content: bytes = model.SerializeToString()
    return content


CRASH = """
import sys
from edgedeploy import api
from edgedeploy.cli.main import main
def fail(*_):
    raise {error}
api.recipe_names = fail
sys.argv = ["edgedeploy", "recipes", *{words}]
main()
"""


def crash(tmp_path: Path, error: str, *words: str) -> subprocess.CompletedProcess[str]:
    environment = {**os.environ, "XDG_CACHE_HOME": str(tmp_path / "cache")}
    program = CRASH.format(error=error, words=words)
    return subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=False)


@pytest.mark.parametrize(
    "error", ["KeyError('x')", "RuntimeError('boom')", "ImportError('too old')", "RecursionError()"]
)
def test_a_mistake_of_ours_has_a_code_of_its_own_and_says_where_its_traceback_is(tmp_path: Path, error: str) -> None:
    done = crash(tmp_path, error)
    assert done.returncode == 70
    assert "edgedeploy made a mistake" in done.stderr and "Traceback" not in done.stderr
    log = tmp_path / "cache/edgedeploy/crash.log"
    assert str(log) in done.stderr
    text = log.read_text()
    assert "Traceback" in text and error.partition("(")[0] in text and "command: recipes" in text


def test_the_traceback_of_a_mistake_is_printed_for_debugging(tmp_path: Path) -> None:
    done = crash(tmp_path, "KeyError('x')", "-vv")
    assert done.returncode == 70
    assert "Traceback" in done.stderr and "edgedeploy made a mistake" in done.stderr


def test_a_mistake_is_told_where_no_log_can_be_written(tmp_path: Path) -> None:
    (tmp_path / "cache").write_text("a file where a folder belongs")
    done = crash(tmp_path, "KeyError('x')")
    assert done.returncode == 70
    assert "could not be written down" in done.stderr and "Traceback" not in done.stderr


def test_too_little_memory_is_what_this_machine_lacks(tmp_path: Path) -> None:
    done = crash(tmp_path, "MemoryError('12 GiB for an array')")
    assert done.returncode == errors.HostError.exit_code
    assert "not enough memory" in done.stderr and "12 GiB" in done.stderr
