"""The smoke test that runs without a laptop: real bundles, under busybox and what /bin/sh is here."""

from __future__ import annotations

import hashlib
import json
import os
import re
import shutil
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

import msgspec
import pytest
from click.testing import CliRunner
from msgspec import structs
from support.host_backend import host_bundle

from edgedeploy import api
from edgedeploy.cli.main import cli
from edgedeploy.device.local import LocalConnection
from edgedeploy.device.probe.probe import probe
from edgedeploy.foundation.errors import HostError, InvalidFileError, UnsupportedError
from edgedeploy.report.content.wording import CHECK_WORDS
from edgedeploy.runner import smoke_script
from edgedeploy.values.bundle import Bundle
from edgedeploy.values.smoke import CheckState, Key, Smoke, SmokeLine
from edgedeploy.values.throttling import Throttling
from edgedeploy.workflows.smoke.conditions import (
    COOL,
    HOT_C,
    NO_SENSOR,
    NO_TIME,
    NOT_REPORTED,
    POWER,
    conditions,
    line,
)
from edgedeploy.workflows.smoke.kit import read_result, write_kit

pytestmark = pytest.mark.slow

OK, FAILED, OPEN = CheckState.OK, CheckState.FAILED, CheckState.NOT_DETERMINED


class Done(NamedTuple):
    status: int
    said: str
    result: Smoke | None
    """What `--read` reads."""

    def line(self, key: Key) -> SmokeLine:
        assert self.result
        return next(each for each in self.result.lines if each.key == key)


Run = Callable[..., Done]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Bundle:
    """No test changes it: kits are copies."""
    folder = tmp_path_factory.mktemp("made")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_CACHE_HOME", str(folder / "cache"))
        return host_bundle(folder / "a bundle", patch)


@pytest.fixture
def kit(bundle: Bundle, tmp_path: Path) -> Path:
    folder = tmp_path / "a stick's; $(touch x)" / "the kit"
    write_kit(bundle, folder, seconds=0.2)
    return folder


@pytest.fixture(params=["busybox", "sh"])
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> tuple[list[str], str]:
    """How a shell is started, and the PATH: of busybox with nothing but its own commands."""
    if request.param == "sh":
        return ["/bin/sh"], "/usr/bin:/bin"
    busybox = shutil.which("busybox")
    if busybox is None:
        pytest.skip("there is no busybox")
    tools = tmp_path / "busybox tools"
    tools.mkdir()
    subprocess.run([busybox, "--install", "-s", str(tools)], check=True)
    return [busybox, "sh"], str(tools)


@pytest.fixture
def run(shell: tuple[list[str], str], tmp_path: Path) -> Run:
    words, path = shell

    def run_kit(kit: Path, *, tools: Path | None = None, before: Sequence[str] = (), **variables: str) -> Done:
        environment = {"PATH": f"{tools}:{path}" if tools else path, "HOME": str(tmp_path / "home"), **variables}
        done = subprocess.run(
            [*before, *words, str(kit / "smoke")], capture_output=True, text=True, env=environment, cwd="/", check=False
        )
        assert "syntax" not in done.stderr and "not found" not in done.stderr, done.stderr
        found = re.search(r"the result is in (.*?)(: take it|\n)", done.stdout)
        result = read_result(Path(found[1])) if found else None
        assert list(Path("/").glob("x")) == []
        return Done(done.returncode, done.stdout, result)

    return run_kit


def sum_again(kit: Path) -> None:
    """As if the kit had been made with what is in it."""
    lines = [line.split("  ", 1)[1] for line in (kit / "SHA256SUMS").read_text().splitlines()]
    text = "".join(f"{hashlib.sha256((kit / name).read_bytes()).hexdigest()}  {name}\n" for name in lines)
    (kit / "SHA256SUMS").write_text(text)


@pytest.mark.parametrize("words", [COOL, POWER, NO_SENSOR, NOT_REPORTED, NO_TIME, *CHECK_WORDS.values()])
def test_the_script_prints_the_words_of_the_host(words: str) -> None:
    assert words in smoke_script().decode()


class TestRun:
    def test_passes_and_leaves_its_result(self, kit: Path, run: Run, bundle: Bundle) -> None:
        done = run(kit)
        assert done.status == 0, done.said
        assert done.said.startswith(f"PASS  {bundle.manifest.name} ")
        (left,) = kit.glob("result-*.json")
        assert re.fullmatch(r"result-[A-Za-z0-9._-]+-\d{8}T\d{6}Z\.json", left.name)
        assert done.result and done.result == read_result(left) and done.result.passed
        assert done.result.release and done.result.release.name == bundle.manifest.name
        figures = done.result.figures
        assert figures and figures.n >= 1 and figures.p50_ms and figures.load_ms and figures.peak_rss_bytes
        assert "healthy, 4 golden samples, cosine 1.0" in done.line("golden").figure
        assert "from this kit" in done.line("release").figure
        rows = [f"{each.key:<12} {CHECK_WORDS[each.state]:<15} {each.figure}" for each in done.result.lines]
        assert set(rows) <= set(done.said.splitlines())
        # Nothing else is left, and the kit is as it was.
        assert {path.name for path in kit.iterdir()} == {"bundle", "facts", "SHA256SUMS", "smoke", left.name}
        assert not list((kit / "bundle").rglob("__pycache__"))

    def test_a_damaged_file_is_named(self, kit: Path, run: Run) -> None:
        model = kit / "bundle/model.onnx"
        model.write_bytes(model.read_bytes()[:-1] + b"!")
        done = run(kit)
        assert done.status == 1 and done.said.startswith("FAIL ")
        assert done.line("files").state is FAILED and "bundle/model.onnx" in done.line("files").figure
        assert done.line("golden").figure == "not tried, because of: files"
        assert "what to do next\n  files: make the kit again" in done.said
        assert done.result and done.result.figures is None

    def test_a_missing_file_is_named(self, kit: Path, run: Run) -> None:
        (kit / "bundle/golden/0002.npz").unlink()
        assert "bundle/golden/0002.npz" in run(kit).line("files").figure

    def test_what_is_not_of_the_kit_is_named_and_nothing_is_run(self, kit: Path, run: Run) -> None:
        """Python would find it before the modules of the kit."""
        (kit / "bundle/numpy.py").write_text("raise SystemExit(0)")
        (kit / "bundle/._runner.py").touch()
        done = run(kit)
        assert done.status == 1 and done.line("golden").figure == "not tried, because of: files"
        assert done.line("files").figure == "damaged: bundle/numpy.py (not of the kit)"

    @pytest.mark.parametrize("name", ["facts", "SHA256SUMS"])
    def test_so_are_its_own(self, kit: Path, run: Run, name: str) -> None:
        lines = (kit / name).read_text().splitlines(keepends=True)
        (kit / name).write_text("".join(lines[:-1]))
        done = run(kit)
        assert done.status == 1 and name in done.line("files").figure

    def test_without_hashes_nothing_is_run(self, kit: Path, tmp_path: Path) -> None:
        tools = tmp_path / "few tools"
        tools.mkdir()
        for name in ("uname", "tr", "cut", "dirname", "sed", "date", "df", "tail", "grep", "cat", "sync", "rm"):
            (tools / name).symlink_to(shutil.which(name) or name)
        done = subprocess.run(
            ["/bin/sh", str(kit / "smoke")], env={"PATH": str(tools)}, capture_output=True, text=True, check=False
        )
        assert done.returncode == 1 and done.stdout.startswith("FAIL ")
        (left,) = kit.glob("result-*")
        states = {line.key: line.state for line in read_result(left).lines}
        assert states["files"] is OPEN and states["golden"] is OPEN

    def test_half_a_kit_is_told(self, kit: Path, run: Run) -> None:
        (kit / "facts").unlink()
        done = run(kit)
        assert done.status == 1 and "there is no whole kit" in done.said and done.result is None

    def test_another_answer_fails(self, kit: Path, run: Run) -> None:
        runner = kit / "bundle/edgedeploy_runner/release.py"
        runner.write_text(runner.read_text().replace("run(self.outputs, feed)", "run(self.outputs, {'x': -feed['x']})"))
        sum_again(kit)
        done = run(kit)
        assert done.status == 1 and done.line("golden").state is FAILED
        assert "is not the golden one" in done.line("golden").figure
        assert done.line("measurement").figure == "not tried, because of: golden"

    def test_another_core_is_told_and_nothing_is_run(self, make_bundle, tmp_path: Path, run: Run) -> None:
        write_kit(make_bundle(architecture="riscv64"), tmp_path / "kit")
        done = run(tmp_path / "kit")
        assert done.status == 1 and "is for riscv64, and this is" in done.line("fits").figure
        assert done.line("golden").state is OPEN and done.line("files").state is OK

    def test_a_runner_that_cannot_measure_is_asked_again_and_again(self, make_bundle, tmp_path: Path, run: Run) -> None:
        golden = {"golden/0000.npz": b"", "golden/0001.npz": b""}
        write_kit(make_bundle(golden_samples=2, files=golden), tmp_path / "kit", seconds=1)
        done = run(tmp_path / "kit")
        assert done.status == 0, done.said
        assert "health checks passed" in done.line("measurement").figure
        assert done.result and done.result.figures and done.result.figures.clock == "checks"
        assert "latency" not in done.said

    def test_without_golden_samples_there_is_no_pass(self, make_bundle, tmp_path: Path, run: Run) -> None:
        write_kit(make_bundle(), tmp_path / "kit", seconds=0.1)
        done = run(tmp_path / "kit")
        assert done.status == 1 and done.line("golden").state is OPEN and done.result


class TestSticks:
    @pytest.fixture
    def mounted(self, kit: Path, tmp_path: Path) -> Iterator[Callable[[str], Path]]:
        if os.getuid() != 0:
            pytest.skip("mounting needs root")
        places: list[Path] = []

        def mount(options: str) -> Path:
            place = tmp_path / "a mounted stick"
            place.mkdir()
            made = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=8m", "edgedeploy-test", str(place)], check=False)
            if made.returncode:
                pytest.skip("no tmpfs can be mounted")
            places.append(place)
            shutil.copytree(kit, place / "kit")
            subprocess.run(["mount", "-o", f"remount,{options}", str(place)], check=True)
            return place / "kit"

        yield mount
        for place in places:
            subprocess.run(["umount", str(place)], check=True)

    @pytest.mark.parametrize("options", ["noexec", "ro,noexec"])
    def test_nothing_can_be_started_there(self, mounted, run: Run, tmp_path: Path, options: str) -> None:
        kit = mounted(options)
        done = run(kit)
        assert done.status == 0, done.said
        assert f"from a copy of this kit in {tmp_path / 'home'}" in done.line("release").figure
        # The copy is gone, and the result is beside the kit if that can be.
        left = [path.name for path in (tmp_path / "home").iterdir()]
        assert not [name for name in left if name.startswith("edgedeploy-smoke")]
        assert len(list(kit.glob("result-*"))) == (0 if "ro" in options else 1)
        assert ("take it with you" in done.said) is ("ro" in options)
        assert len([name for name in left if name.startswith("result-")]) == (1 if "ro" in options else 0)

    def test_without_executable_files(self, kit: Path, run: Run) -> None:
        for path in kit.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        done = run(kit)
        assert done.status == 0 and "from a copy" in done.line("release").figure

    def test_a_colon_in_its_name(self, kit: Path, run: Run, tmp_path: Path) -> None:
        kit.rename(tmp_path / "usb:1")
        done = run(tmp_path / "usb:1")
        assert done.status == 0 and "from a copy" in done.line("release").figure

    def test_a_full_path_is_not_needed(self, kit: Path, shell: tuple[list[str], str]) -> None:
        words, path = shell
        done = subprocess.run([*words, "smoke"], cwd=kit, env={"PATH": path}, capture_output=True, check=False)
        assert done.returncode == 0 and done.stdout.startswith(b"PASS ")

    def test_a_read_only_folder_as_somebody_without_a_home(self, kit: Path, run: Run, tmp_path: Path) -> None:
        """As root nothing is read-only: as nobody, who may look into the folder only."""
        setpriv = shutil.which("setpriv")
        if os.getuid() != 0 or setpriv is None:
            pytest.skip("needs root and setpriv")
        place = Path(f"/var/tmp/edgedeploy test {os.getpid()}")
        shutil.copytree(kit, place)
        try:
            words = [setpriv, "--reuid", "65534", "--regid", "65534", "--clear-groups"]
            done = subprocess.run(
                [*words, "/bin/sh", str(place / "smoke")],
                env={"PATH": "/usr/bin:/bin", "HOME": "/nonexistent"}, capture_output=True, text=True, check=False,
            )  # fmt: skip
            found = re.search(r"cannot be written, so the result is in (/.*?): take it with you", done.stdout)
            assert found, done.stdout + done.stderr
            left = Path(found[1])
            assert read_result(left).lines and left.parent != place
            left.unlink()
            assert not list(place.glob("result-*"))
        finally:
            shutil.rmtree(place)


class TestState:
    @pytest.fixture
    def other(self, tmp_path: Path) -> Path:
        """Another root for /proc and /sys."""
        root = tmp_path / "another root"
        (root / "proc").mkdir(parents=True)
        (root / "proc/meminfo").write_text("MemTotal: 900000 kB\nMemAvailable:   400000 kB\nSwapFree:  0 kB\n")
        return root

    def put(self, root: Path, path: str, text: str) -> None:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)

    def test_all_is_well(self, kit: Path, run: Run, other: Path) -> None:
        self.put(other, "sys/class/thermal/thermal_zone0/temp", "48123\n")
        self.put(other, "sys/class/thermal/thermal_zone1/temp", "51900\n")
        self.put(other, "sys/devices/platform/soc/soc:firmware/get_throttled", "0\n")
        self.put(other, "proc/device-tree/model", 'Raspberry Pi 4 "B" \\ Rev 1.4\0')
        self.put(other, "etc/os-release", 'NAME=x\nPRETTY_NAME="Debian GNU/Linux 12"\n')
        done = run(kit, EDGEDEPLOY_SMOKE_ROOT=str(other))
        assert done.status == 0, done.said
        assert {line.state for line in done.result.lines} == {OK}  # type: ignore[union-attr]
        assert done.line("temperature").figure == "51 °C"
        assert done.line("voltage").figure == "no under-voltage since it was started"
        assert done.line("board").figure.endswith("Rev 1.4, Debian GNU/Linux 12")
        assert "latency p50" in done.line("measurement").figure
        assert re.match(r"409 MB available; the model takes \d+ MB", done.line("memory").figure)

    @pytest.mark.parametrize(
        ("throttled", "voltage", "throttling", "words"),
        [
            ("50005", FAILED, FAILED, "throttled now"),
            ("50000", FAILED, OK, "not now; since it was started: throttling has occurred"),
            ("0", OK, OK, "none"),
            ("none of it", OPEN, OPEN, "no sensor for it"),
        ],
    )
    def test_what_the_firmware_says(
        self, kit, run: Run, other, tmp_path, throttled, voltage, throttling, words
    ) -> None:
        tools = tmp_path / "more tools"
        tools.mkdir()
        (tools / "vcgencmd").write_text(f'#!/bin/sh\necho "throttled=0x{throttled}"\n')
        (tools / "vcgencmd").chmod(0o755)
        done = run(kit, tools=tools, EDGEDEPLOY_SMOKE_ROOT=str(other))
        assert (done.line("voltage").state, done.line("throttling").state) == (voltage, throttling)
        assert words in done.line("throttling").figure
        assert done.status == (1 if FAILED in (voltage, throttling) else 0)

    @pytest.mark.parametrize("bits", [0x0, 0x10002, 0x20004, 0xF000F, 0x100])
    def test_the_script_and_the_host_judge_and_word_the_bits_alike(
        self, kit: Path, run: Run, other: Path, tmp_path: Path, bits: int
    ) -> None:
        self.put(other, "sys/devices/platform/soc/soc:firmware/get_throttled", f"{bits:x}\n")
        done = run(kit, EDGEDEPLOY_SMOKE_ROOT=str(other))
        found = probe(LocalConnection("local:", tmp_path / "a home"), pythons=())
        after = structs.replace(found, throttled=Throttling.of_bits(bits).events)
        lines = {each.key: each for each in conditions(after, after, line("clock", OK, ""), None, None)}
        assert done.line("throttling") == lines["throttling"]
        assert done.line("voltage") == lines["voltage"]

    def test_too_hot_and_too_little_memory(self, kit: Path, run: Run, other: Path) -> None:
        self.put(other, "sys/class/thermal/thermal_zone0/temp", "80000\n")
        self.put(other, "proc/meminfo", "MemAvailable: 2000 kB\nSwapFree: 900000 kB\n")
        done = run(kit, EDGEDEPLOY_SMOKE_ROOT=str(other))
        assert done.status == 1 and "(failed: temperature, memory" in done.said
        assert done.line("temperature").hint == COOL

    def test_what_cannot_fit_is_not_started(self, kit: Path, run: Run, other: Path) -> None:
        facts = kit / "facts"
        facts.write_text(re.sub("needs_kib .*", "needs_kib 5000000", facts.read_text()))
        sum_again(kit)
        done = run(kit, EDGEDEPLOY_SMOKE_ROOT=str(other))
        assert done.line("fits").state is FAILED and "5120 MB of memory" in done.line("fits").figure
        assert done.line("golden").state is OPEN

    @pytest.mark.parametrize("sign", ["proc/device-tree/compatible", "sys/class/dmi/id/sys_vendor"])
    def test_emulated_wall_clock_is_no_latency(self, kit: Path, run: Run, other: Path, sign: str) -> None:
        self.put(other, sign, "linux,dummy-virt\0" if "compatible" in sign else "QEMU\n")
        done = run(kit, EDGEDEPLOY_SMOKE_ROOT=str(other))
        assert done.status == 0 and done.result and done.result.figures and done.result.figures.clock == "emulated"
        assert "emulated wall-clock, not a latency: p50" in done.line("measurement").figure
        assert "emulated" in done.line("board").figure

    def test_a_clock_of_long_ago(self, kit: Path, run: Run) -> None:
        facts = kit / "facts"
        facts.write_text(re.sub("made_at .*", f"made_at {int(time.time()) + 86_400}", facts.read_text()))
        sum_again(kit)
        done = run(kit)
        assert done.status == 1 and "before this kit was made" in done.line("clock").figure

    def test_it_judges_as_the_laptop_does(self, kit: Path) -> None:
        script = (kit / "smoke").read_text()
        assert script.count(COOL) == 2 and POWER in script and f"{HOT_C * 1000:.0f}" in script


class TestMaking:
    def test_from_one_file(self, bundle: Bundle, tmp_path: Path, kit: Path, run: Run) -> None:
        packed = api.pack_bundle(bundle, tmp_path / "one.edge")
        write_kit(packed, tmp_path / "other kit", seconds=0.2)
        assert (tmp_path / "other kit/SHA256SUMS").read_text().splitlines()[:9] == (
            kit / "SHA256SUMS"
        ).read_text().splitlines()[:9]
        assert run(tmp_path / "other kit").status == 0

    def test_a_kit_is_replaced_and_its_results_stay(self, kit: Path, make_bundle) -> None:
        (kit / "result-x-1.json").write_text("{}")
        written = write_kit(make_bundle(), kit)
        assert {path.name for path in (kit / "bundle").iterdir()} == {"manifest.json", "model.onnx", "run"}
        assert (kit / "result-x-1.json").exists() and written.files == 6

    def test_other_things_are_not_touched(self, make_bundle, tmp_path: Path) -> None:
        stick = tmp_path / "stick"
        (stick / "bundle").mkdir(parents=True)
        with pytest.raises(InvalidFileError, match="other things"):
            write_kit(make_bundle(), stick)
        (stick / "photos").mkdir()
        with pytest.raises(InvalidFileError, match="other things") as error:
            write_kit(make_bundle(), stick)
        assert "smoke-test" in error.value.hint
        (tmp_path / "a file").write_text("")
        with pytest.raises(InvalidFileError, match="not a folder"):
            write_kit(make_bundle(), tmp_path / "a file")
        with pytest.raises(HostError, match="cannot be written"):
            write_kit(make_bundle(), Path("/proc/nowhere"))

    def test_names_that_are_one_on_a_stick(self, make_bundle, tmp_path: Path) -> None:
        with pytest.raises(UnsupportedError, match="one name"):
            write_kit(make_bundle(files={"a/B": b"1", "A/b": b"2"}), tmp_path / "kit")


class TestReading:
    @pytest.mark.parametrize(
        "change",
        [
            lambda document: document.update(schema=2),
            lambda document: document.update(passed=not document["passed"]),
            lambda document: document["lines"].pop(),
            lambda document: document["lines"][0].update(state="fine"),
            lambda document: document.clear(),
        ],
    )
    def test_what_is_no_result_is_refused(self, kit: Path, tmp_path: Path, change) -> None:
        subprocess.run(["/bin/sh", str(kit / "smoke")], capture_output=True, check=False)
        (left,) = kit.glob("result-*")
        document = json.loads(left.read_text())
        change(document)
        left.write_text(json.dumps(document))
        with pytest.raises(InvalidFileError):
            read_result(left)

    @pytest.mark.parametrize("content", [b"", b"[" * 100_000, b"\xff", b" " * (2 << 20)])
    def test_nor_what_anybody_may_write(self, tmp_path: Path, content: bytes) -> None:
        (tmp_path / "r.json").write_bytes(content)
        with pytest.raises(InvalidFileError):
            read_result(tmp_path / "r.json")


class TestCommand:
    def invoke(self, *words: object):
        return CliRunner().invoke(cli, ["smoke", *map(str, words)], standalone_mode=False)

    def test_there_and_back(self, bundle: Bundle, tmp_path: Path) -> None:
        made = self.invoke("--kit", tmp_path / "kit", "--bundle", bundle.path, "--seconds", "0.1")
        assert made.return_value == 0 and "sh smoke" in made.stdout
        done = subprocess.run(["/bin/sh", str(tmp_path / "kit/smoke")], capture_output=True, text=True, check=False)
        (left,) = (tmp_path / "kit").glob("result-*")
        read = self.invoke("--read", left)
        assert read.return_value == done.returncode == 0
        # The same words, but for marks and the width of columns.
        there, here = (
            [re.sub(r"[✓✗?] | {2,}", " ", line).split() for line in text.splitlines()[:14]]
            for text in (done.stdout, read.stdout)
        )
        assert there == here
        assert msgspec.json.decode(self.invoke("--read", left, "--json").stdout, type=Smoke) == read_result(left)
        left.write_text(left.read_text().replace('"figure":"', '"figure":"\\u001b[2J', 1))
        assert "\x1b" not in self.invoke("--read", left).stdout

    @pytest.mark.parametrize(
        "words",
        [
            (),
            ("local:", "--read", "x"),
            ("--kit", "x"),
            ("--kit", "x", "--read", "y"),
            ("--name", "x", "--bundle", "y"),
        ],
    )
    def test_mistakes(self, words) -> None:
        assert CliRunner().invoke(cli, ["smoke", *words]).exit_code == 2


@pytest.mark.keeps_cache
def test_a_program_without_python(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    """The runner in C, with the model compiled into it, on a board that has busybox only."""
    host_bundle(tmp_path / "made/x", monkeypatch)
    native = api.compile(
        tmp_path / "made/model.onnx", api.load_target("x86-64"), tmp_path / "native",
        backend="native", golden=str(tmp_path / "made/golden.npz"), input_shapes={"x": (1, 3)},
    )  # fmt: skip
    write_kit(native, tmp_path / "kit", seconds=0.2)
    done = run(tmp_path / "kit")
    assert done.status == 0, done.said
    assert "x86_64, native" in done.line("fits").figure and done.result and done.result.figures
    assert done.result.figures.n > 64 and done.result.figures.p90_ms
