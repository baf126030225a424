"""Every command that stands in a block of README or docs/ runs, as it stands, on the demo's files.

An emulated board takes minutes to make, so this machine stands for it: `local:` for `board:…`, and the target x86-64.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from support.handed_over import hand_over
from support.host_backend import HostBackend

from edgedeploy import api
from edgedeploy.values.measurement import Measurement

ROOT = Path(__file__).parents[2]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]

NOT_RUN = {
    "scripts/demo": "takes minutes, boots a board; the reader's first command",
    "scripts/test": "this is a part of it",
    "scripts/bench ": "a benchmark: minutes to hours",
    "edgedeploy demo": "boots a board: tests/workflows/demo, tests/emulated/test_ship.py",
    "edgedeploy gate ": "boots a board: tests/emulated/test_gate.py runs it",
    "edgedeploy trend ": "reads a git repository: tests/workflows/test_trend.py",
    "edgedeploy baseline save baseline.json edgedeploy-gate/": "takes what a gate wrote: tests/emulated/test_gate.py",
    "edgedeploy ship pictures.toml ": "goes to somebody's board: tests/emulated/test_tasks.py goes this way",
    "uv tool install ": "installs packages: scripts/release",
    "edgedeploy board up ": "boots a board: tests/emulated/test_board.py",
    "edgedeploy board down ": "there is no such board here: tests/emulated/test_board.py",
    "edgedeploy board ssh ": "logs in to a board that is up: tests/emulated/test_board.py",
    "edgedeploy board export ": "builds an image: tests/device/emulator/test_image_exchange.py",
    "edgedeploy board import ": "takes an image: tests/device/emulator/test_image_exchange.py",
    "edgedeploy compile small.onnx --target rpi-zero ": "compiles C, for minutes at first: tests/compile/native",
    "edgedeploy compile model.tflite ": "fetches wheels: tests/compile/backends",
    "edgedeploy compile small.tflite ": "fetches wheels: tests/compile/backends",
    "edgedeploy compile model.onnx --target rpi4 --backend tflite": "installs onnx2tf: test_onnx_to_tflite.py",
    "edgedeploy compile float.onnx ": "installs onnx2tf: test_onnx_to_tflite.py",
    "edgedeploy optimize float.bundle/model.tflite ": "takes what onnx2tf made",
    "eval ": "for a shell of its own: test_completion.py",
    "_EDGEDEPLOY_COMPLETE=fish_source ": "for a shell of its own: test_completion.py",
}
"""How a command begins, and why it is not run here. (Those of edgedeploy are parsed: test_documentation.py.)"""

SYNOPSES = {
    "inspect MODEL": ["inspect model.onnx"],
    "init MODEL DATA": ["init model.onnx labeled.npz -o guessed.toml"],
    "data show DATA": ["data show labeled.npz --model model.onnx"],
    "recipes [NAME]": ["recipes", "recipes int8"],
    "targets [NAME]": ["targets", "targets rpi4"],
    "optimize MODEL": ["optimize model.onnx --recipe weights-int8 --evaluation labeled.npz --on none -o out.onnx"],
    "compile MODEL": ["compile small.onnx --target rpi4 --golden typical.npz --contract contract.toml -o out.bundle"],
    "bundle show|": ["bundle show small.bundle", "bundle schema"],
    "board up|": ["board list"],
    "probe DEVICE": ["probe board:rpi4"],
    "push BUNDLE": ["push small.bundle board:rpi4 --keep 5 --retries 0 --bandwidth 200M"],
    "releases DEVICE": ["releases board:rpi4"],
    "rollback DEVICE": ["rollback board:rpi4"],
    "status DEVICE": ["status board:rpi4 --health"],
    "logs DEVICE": ["logs board:rpi4"],
    "uninstall DEVICE": ["uninstall board:gone --all --yes"],
    "smoke DEVICE": ["smoke board:rpi4 --seconds 1"],
    "smoke --kit OUT": ["smoke --kit kit --bundle small.bundle"],
    "bench DEVICE": ["bench board:rpi4 --csv samples.csv"],
    "profile DEVICE": ["profile board:rpi4"],
    "test DEVICE": ["test board:rpi4 --evaluation labeled.npz -o accuracy.json"],
    "check MEASUREMENT…": ["check accuracy.json --contract contract.toml"],
    "compare BEFORE": ["compare measurement.json measurement.json"],
    "baseline save|": ["baseline save new.json measurement.json", "baseline show new.json"],
    "contract new|": ["contract show contract.toml", "contract check contract.toml"],
    "ship CONTRACT": ["ship contract.toml board:rpi4 --report report"],
    "schema NAME": ["schema contract"],
    "doctor [JOB]…": ["doctor"],
}
"""Of README's list of commands: how the synopsis begins, and what it stands for."""

EITHER = re.compile(r" smoke ")
"""On a busy machine, the smoke test may rightly say FAIL."""


def blocks(page: Path) -> Iterator[str]:
    """The commands of the indented blocks of a page, each in one line, without its comment."""
    fenced, whole = False, ""
    for line in page.read_text(encoding="utf-8").splitlines():
        if line.startswith("```"):
            fenced = not fenced
        text = whole + line.strip()
        whole = ""
        if fenced or not line.startswith("    ") or line.lstrip().startswith(("[", "all steps")):
            continue
        if text.endswith("\\"):
            whole = text[:-1]
            continue
        yield from (part for part in re.split(r"\s{3,}|\s+(?=# )", text) if is_command(part))


def is_command(part: str) -> bool:
    return part.startswith(("edgedeploy ", "sh ", "scripts/", "uv ", "eval ", "_EDGEDEPLOY"))


def runnable(command: str) -> list[str]:
    """What is run for a command; nothing if it stands in `NOT_RUN`."""
    if any(command.startswith(beginning) for beginning in NOT_RUN):
        return []
    for beginning, stands_for in SYNOPSES.items():
        if command.removeprefix("edgedeploy ").startswith(beginning):
            return [f"edgedeploy {words}" for words in stands_for]
    return [command]


def here(command: str) -> str:
    """The command for this machine and a few seconds."""
    command = command.replace("--on board:rpi4", "--on none").replace("/media/stick/", "")
    command = re.sub(r"--target rpi4\b", "--target x86-64", command)
    command = re.sub(r"\bboard:(gone|)[a-z0-9-]*", lambda board: f"local:{board[1] or 'device'}", command)
    if " bench " in command and "--profile" not in command:
        command += " --profile smoke"
    # Figures of a busy machine may be invalid; what is checked afterwards are figures of a quiet one.
    command = command.replace("-o measurement.json", "-o measured.json")
    if " smoke " in command and "--read" not in command and "--seconds" not in command:
        command += " --seconds 1"
    if "--recipe auto" in command:
        command += " --time-budget 3"
    return command


@pytest.fixture(scope="module")
def demo_files(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """What the documentation speaks of: model, data, contract, bundle, and a device with two releases."""
    folder = tmp_path_factory.mktemp("demo")
    hand_over(folder, recipe="weights-int8")
    # The runner under the Python of the tests: without fetching and sending 80 MB of wheels for each command.
    patched = pytest.MonkeyPatch()
    patched.setattr("edgedeploy.compile.backends.onnxruntime.BACKEND", HostBackend())
    for name, original in (("typical", "calibration"), ("labeled", "evaluation")):
        shutil.copyfile(folder / f"{original}.npz", folder / f"{name}.npz")
    _as_pictures(folder / "labeled.npz", folder)
    target = api.load_target("x86-64")
    for version, recipe, name in (("1", "fold", "before"), ("2", "weights-int8", "small")):
        optimized = folder / f"{name}.onnx"
        assert api.optimize(folder / "model.onnx", api.load_recipe(recipe), optimized).accepted
        golden = str(folder / "typical.npz")
        bundle = api.compile(
            optimized, target, folder / f"{name}.bundle", version=version, name="text-direction", golden=golden
        )
        with api.connect(f"local:{folder / 'device'}") as device:
            api.push(bundle, device)
    api.pack_bundle(api.open_bundle(folder / "small.bundle"), folder / "small.edge")
    yield folder
    patched.undo()


def _as_pictures(data: Path, folder: Path) -> None:
    """Save the demo's arrays as the pictures that they were made of, in a folder for each class, and a `data.toml`."""
    with np.load(data) as arrays:
        pixels, labels = np.rint((arrays["x"] + 1) * 127.5).astype(np.uint8), arrays["labels"]
    for number, (picture, label) in enumerate(zip(pixels, labels, strict=True)):
        path = folder / "pictures/val" / ("0", "180")[label] / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(picture.transpose(1, 2, 0)).save(path)
    table = re.search(r"```toml\n(.*?)```", (ROOT / "docs/data.md").read_text(encoding="utf-8"), re.DOTALL)
    assert table is not None
    (folder / "data.toml").write_text(table[1], encoding="utf-8")


@pytest.fixture
def signer() -> str:
    """A key of the user's, and a line of `allowed_signers` for it."""
    ssh = Path.home() / ".ssh"
    ssh.mkdir(mode=0o700)
    subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", ssh / "id_ed25519"], check=True)
    signers = "maker@example.com " + (ssh / "id_ed25519.pub").read_text(encoding="utf-8")
    config = Path(os.environ["XDG_CONFIG_HOME"]) / "edgedeploy"
    config.mkdir(parents=True)
    (config / "allowed_signers").write_text(signers, encoding="utf-8")
    return signers


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [page for page in PAGES if any(map(runnable, blocks(page)))], ids=lambda page: page.name
)
def test_what_is_documented_runs(
    page: Path,
    demo_files: Path,
    signer: str,
    measurement: Measurement,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    edgedeploy: Callable[..., object],
) -> None:
    commands = list(dict.fromkeys(here(one) for command in blocks(page) for one in runnable(command)))
    work = tmp_path / "work"
    shutil.copytree(demo_files, work, symlinks=True, copy_function=os.link)
    (work / "allowed_signers").write_text(signer, encoding="utf-8")
    api.save_measurement(measurement, work / "measurement.json")
    api.save_baseline(api.baseline_of([measurement] * 3), work / "baseline.json")
    monkeypatch.chdir(work)
    for command in commands:
        code, said = run(command, edgedeploy)
        assert code == 0 or (code == 1 and EITHER.search(command)), f"{page.name}: {command}\n{said}"


def run(command: str, edgedeploy: Callable[..., object]) -> tuple[int, str]:
    """Its exit code, and what it printed; edgedeploy in this process, which has imported everything."""
    import shlex

    words = shlex.split(command, comments=True)
    if words[0] != "edgedeploy":
        environment = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}"}
        done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, env=environment, check=False)
        return done.returncode, done.stdout + done.stderr
    # The name of the host and the time are in it.
    words = [
        str(next(Path().glob(word.replace("HOST-DATE", "*")), word)) if "HOST-DATE" in word else word for word in words
    ]
    words = [re.sub("^~/", f"{Path.home()}/", word) for word in words]
    ended = edgedeploy(*words[1:])
    return ended.exit_code, ended.stdout + ended.stderr  # type: ignore[attr-defined]


def test_every_reason_and_every_synopsis_is_needed() -> None:
    """What is left of a command that has gone from the pages would hide the next one."""
    all_commands = [command for page in PAGES for command in blocks(page)]
    for beginning in NOT_RUN:
        assert any(command.startswith(beginning) for command in all_commands), beginning
    for beginning in SYNOPSES:
        assert any(command.startswith(f"edgedeploy {beginning}") for command in all_commands), beginning


def test_no_synopsis_is_run_as_it_stands() -> None:
    for page in PAGES:
        for command in blocks(page):
            for one in runnable(command):
                assert not re.search(r"[\[\]…|]|\b[A-Z]{4,}\b(?!-)", one.replace("HOST-DATE", "")), (page.name, one)
