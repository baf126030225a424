"""What boards are by name, on the disk alone: nothing is built or booted here."""

from __future__ import annotations

import fcntl
import shutil
import stat
import subprocess
import sys
from pathlib import Path

import pytest
from msgspec import structs

import edgedeploy
from edgedeploy.device.emulator import board, boot, files, image, qemu
from edgedeploy.device.emulator.board import (
    board_access,
    board_down,
    board_kill,
    board_list,
    board_status,
    board_up,
    emulated_board,
)
from edgedeploy.device.emulator.files import BOARD_FILES, make_files, write_initramfs
from edgedeploy.device.emulator.keys import new_key_pair
from edgedeploy.device.emulator.state import BoardState, board_folder, read_state, write_state
from edgedeploy.foundation.errors import BoardError, DeviceError, HostError, UnknownNameError, UnsupportedError
from edgedeploy.foundation.programs import apt_line, need, run
from edgedeploy.targets.load import load_target, target_names

STATE = BoardState(target="rpi4", image="0123456789abcdef", disk_mb=2048, phase="up", port=2222, boot_s=3.0)


@pytest.fixture
def folder() -> Path:
    """A board `one` whose files are there and which crashed."""
    folder = board_folder("one")
    folder.mkdir(parents=True)
    for name in BOARD_FILES:
        (folder / name).touch()
    write_state(folder, STATE)
    return folder


def test_names() -> None:
    for name in ("", "A", "a b", "../a", "a/b", ".a", "a" * 33, "-a", "a\n"):
        with pytest.raises(UnknownNameError):
            board_folder(name)
    assert board_folder("rpi4-2.x_y").name == "rpi4-2.x_y"


def test_a_board_that_was_never_made() -> None:
    assert board_list() == ()
    assert board_status("rpi4").state == "absent"
    assert not board_down("rpi4").was_on
    with pytest.raises(DeviceError) as caught:
        board_access("rpi4")
    assert caught.value.hint == "edgedeploy board up rpi4"
    for function in (board_status, board_down, board_kill, board_access, board_up):
        with pytest.raises(UnknownNameError):
            function("nosuch")


def test_a_target_that_cannot_be_emulated() -> None:
    with pytest.raises(UnsupportedError, match="no emulated board"):
        board_up("x86-64")


def test_what_is_there_tells_the_condition(folder: Path) -> None:
    def condition() -> str:
        return board_status("one").state

    assert condition() == "crashed"
    write_state(folder, structs.replace(STATE, phase="off"))
    assert condition() == "down"
    with (folder / "power.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        assert condition() == "booting"
        write_state(folder, STATE)
        assert condition() == "up"
        assert board_access("one").port == 2222
    (folder / "disk.ext4").unlink()
    assert condition() == "broken"
    assert [status.name for status in board_list()] == ["one"]


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b'{"target": 1}', b"\xff\x00", b'{"target": "rpi4"}'])
def test_a_damaged_state_is_no_state(folder: Path, content: bytes) -> None:
    (folder / "state.json").write_bytes(content)
    assert read_state(folder) is None
    assert board_status("one").state == "broken"
    with pytest.raises(DeviceError, match="not up"):
        board_access("one")
    assert not board_down("one").was_on


def test_state_survives_being_written() -> None:
    folder = board_folder("two")
    folder.mkdir(parents=True)
    write_state(folder, STATE)
    assert read_state(folder) == STATE


def test_another_target_clock_system_or_disk_is_refused(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(board, "need", lambda *_: None)
    with pytest.raises(UnsupportedError, match="another disk in MiB: 2048, not 100"):
        board_up("one", disk_mb=100)
    with pytest.raises(UnsupportedError, match="another clock: tells time, not counts instructions"):
        board_up("one", counting=True)
    write_state(folder, structs.replace(STATE, counting=True))
    assert board_status("one").counting
    with pytest.raises(UnsupportedError, match="another clock: counts instructions, not tells time"):
        board_up("one", counting=False)
    with pytest.raises(UnsupportedError, match="another system: whole, not minimal"):
        board_up("one", minimal=True)
    write_state(folder, structs.replace(STATE, minimal=True))
    assert board_status("one").minimal
    with pytest.raises(UnsupportedError, match="another system: minimal, not whole"):
        board_up("one", minimal=False)
    write_state(folder, structs.replace(STATE, target="other"))
    with pytest.raises(UnsupportedError, match="another target: other, not rpi4"):
        board_up("one", target="rpi4")


def test_deleting(folder: Path) -> None:
    stop = board_down("one", delete=True)
    assert (stop.was_on, stop.deleted) == (False, True)
    assert not folder.exists()
    assert board_list() == ()


def test_a_failed_boot_cuts_the_power(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cut: list[Path] = []
    for name, replacement in {
        "need": lambda *_: None,
        "image_folder": lambda *_, **__: tmp_path / STATE.image,
        "repair_disk": lambda _: False,
    }.items():
        monkeypatch.setattr(board, name, replacement)
    monkeypatch.setattr(boot, "write_initramfs", lambda *_: None)
    monkeypatch.setattr(qemu, "cut_power", lambda folder: cut.append(folder) or True)
    for error in (BoardError("QEMU does not start"), KeyboardInterrupt()):

        def start(*_: object, error: BaseException = error, **__: object) -> int:
            raise error

        monkeypatch.setattr(qemu, "start", start)
        with pytest.raises(type(error)), emulated_board("one"):
            pytest.fail("it did not boot")
        assert board_status("one").state == "down"
    assert len(cut) >= 2 and set(cut) == {folder}


class PoweredOn:
    """Stands in for QEMU: on from `start` to `cut_power`, with the network up at once."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.starts: list[dict[str, object]] = []
        self._on: set[Path] = set()
        for name in ("start", "is_on", "cut_power", "process_id"):
            monkeypatch.setattr(qemu, name, getattr(self, name))

    def start(self, target: object, emulation: object, folder: Path, **options: object) -> int:
        self.starts.append(options)
        (folder / qemu.CONSOLE_LOG).write_text("edgedeploy: the network is up\n")
        self._on.add(folder)
        return 2222

    def is_on(self, folder: Path) -> bool:
        return folder in self._on

    def cut_power(self, folder: Path) -> bool:
        was_on = folder in self._on
        self._on.discard(folder)
        return was_on

    def process_id(self, folder: Path) -> int | None:
        return 4711 if folder in self._on else None


def test_a_board_is_made_booted_left_alone_and_made_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Up to its own disk and its own QEMU, which tests with real boards look at."""
    machine = PoweredOn(monkeypatch)
    made: list[str] = []
    answers = {"up": True}
    for version in ("first", "second"):
        (tmp_path / version).mkdir()
        (tmp_path / version / "initramfs").write_bytes(b"base")
    current = {"image": "first"}
    monkeypatch.setattr(board, "need", lambda *_: None)
    monkeypatch.setattr(board, "image_folder", lambda *_, **__: tmp_path / current["image"])
    monkeypatch.setattr(board, "refuse_small_disk", lambda *_: None)
    monkeypatch.setattr(board, "repair_disk", lambda _: False)
    monkeypatch.setattr(boot, "wait_for_login", lambda *_: answers["up"])

    def copy(source: Path, disk: Path, disk_mb: int) -> None:
        made.append(f"{source.parent.name} {disk_mb}")
        disk.touch()

    monkeypatch.setattr(files, "copy_disk", copy)
    status = board_up("two", target="rpi4", counting=True, disk_mb=512)
    assert (status.state, status.port, status.counting, status.minimal) == ("up", 2222, True, False)
    assert (status.image, status.disk_mb, status.pid) == ("first", 512, 4711)
    assert machine.starts == [{"kernel": tmp_path / "first" / "kernel", "port": None, "counting": True}]
    assert (Path(status.folder) / "known_hosts").read_text().startswith("[127.0.0.1]:2222 ssh-ed25519 ")
    # One that is up is left alone.
    assert board_up("two") == status and len(machine.starts) == 1
    # One that crashed starts again with its disk and its port.
    machine.cut_power(Path(status.folder))
    assert board_status("two").state == "crashed"
    assert board_up("two").state == "up"
    assert made == ["first 512"] and machine.starts[-1]["port"] == 2222
    # One whose image has changed, and one that is to be rebuilt, get a new disk of the same size.
    current["image"] = "second"
    machine.cut_power(Path(status.folder))
    assert board_up("two").image == "second"
    assert board_up("two", rebuild=True, minimal=True).minimal
    assert made == ["first 512", "second 512", "second 512"]
    assert board_status("two").counting
    # One that was up for a command that is stopped is switched off, not shut down: nobody waits.
    monkeypatch.setattr(qemu, "power_off", lambda *_: pytest.fail("it is waited for"))
    machine.cut_power(Path(status.folder))
    with pytest.raises(KeyboardInterrupt), emulated_board("two"):
        raise KeyboardInterrupt
    assert board_status("two").state == "down"
    # One that does not let us in is switched off again, and is no board that is up.
    answers["up"] = False
    with pytest.raises(BoardError, match="does not let us log in") as caught:
        board_up("two")
    assert "the network is up" in caught.value.why
    assert board_status("two").state == "down"


def test_secrets_are_for_the_owner_alone(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files, "copy_disk", lambda _, destination, __: destination.touch())
    (tmp_path / "initramfs").write_bytes(b"base")
    folder = board_folder("two")
    make_files(folder, tmp_path, STATE)
    write_initramfs("two", folder, tmp_path)
    write_initramfs("two", folder, tmp_path)
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    for name in ("host_key", "id_ed25519", "initramfs"):
        assert stat.S_IMODE((folder / name).stat().st_mode) == 0o600
    first = (folder / "id_ed25519").read_bytes()
    make_files(folder, tmp_path, STATE)
    assert (folder / "id_ed25519").read_bytes() != first


def test_keys_are_openssh_s(tmp_path: Path) -> None:
    import paramiko

    pair = new_key_pair()
    (tmp_path / "key").write_bytes(pair.private)
    key = paramiko.Ed25519Key.from_private_key_file(str(tmp_path / "key"))
    assert f"{key.get_name()} {key.get_base64()}" == pair.public


def test_an_image_s_name_changes_with_what_it_is_made_from() -> None:
    emulation = load_target("rpi4").emulation
    assert emulation is not None
    same = structs.replace(emulation, cores=1, memory_mb=512, cpu="max", machine="virt,secure=on")
    assert image.image_digest(same) == image.image_digest(emulation)
    digests = {image.image_digest(emulation), image.image_digest(emulation, minimal=True)}
    changes = ("debian_release", "trixie"), ("debian_architecture", "armhf"), ("kernel_package", "linux")
    for key, value in (*changes, ("kernel_architecture", "armhf")):
        other = structs.replace(emulation, **{key: value})
        digests |= {image.image_digest(other), image.image_digest(other, minimal=True)}
    assert len(digests) == 2 * 5
    # The same, said twice.
    said = structs.replace(emulation, kernel_architecture="arm64")
    assert image.image_digest(said) == image.image_digest(emulation)


def test_a_comment_in_the_code_does_not_rename_an_image(tmp_path: Path) -> None:
    package = tmp_path / "edgedeploy"
    shutil.copytree(Path(edgedeploy.__file__).parent, package, ignore=shutil.ignore_patterns("__pycache__"))
    for source in package.rglob("*.py"):
        source.write_text(source.read_text() + "# A comment.\n")
    shutil.copytree(Path(edgedeploy.__file__).parents[1] / "targets", tmp_path / "targets")
    script = (
        "from edgedeploy.device.emulator.image import image_digest\n"
        "from edgedeploy.targets.load import load_target\n"
        "print(image_digest(load_target('rpi4').emulation))"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=tmp_path, capture_output=True, text=True, check=True)
    emulation = load_target("rpi4").emulation
    assert emulation is not None
    assert done.stdout.strip() == image.image_digest(emulation)


def test_a_new_recipe_renames_an_image(monkeypatch: pytest.MonkeyPatch) -> None:
    emulation = load_target("rpi4").emulation
    assert emulation is not None
    before = image.image_digest(emulation)
    monkeypatch.setattr(image, "RECIPE_VERSION", image.RECIPE_VERSION + 1)
    assert image.image_digest(emulation) != before


def test_boards_of_one_architecture_share_an_image() -> None:
    systems: dict[str, list[str]] = {}
    for name in target_names():
        if emulation := load_target(name).emulation:
            systems.setdefault(image.image_digest(emulation), []).append(name)
    assert sorted(systems.values()) == [
        ["generic-aarch64", "rpi-zero-2w", "rpi3", "rpi4", "rpi5"],
        ["generic-armv7", "rpi2"],
        ["rpi-zero-2w-32", "rpi3-32", "rpi4-32"],
    ]


def test_each_board_gets_the_image_of_its_kind(monkeypatch: pytest.MonkeyPatch) -> None:
    built: list[tuple[str, bool]] = []

    def build(folder: Path, _: object, minimal: bool, *__: object) -> None:
        built.append((folder.name, minimal))
        folder.mkdir(parents=True)
        (folder / "disk.ext4").touch()

    monkeypatch.setattr(image, "build_image", build)
    for name in ("rpi4", "rpi2"):
        emulation = load_target(name).emulation
        assert emulation is not None
        for minimal in (False, True, False):
            assert (
                image.image_folder(emulation, minimal=minimal).name
                == image.image_digest(emulation, minimal=minimal)[:16]
            )
    assert [minimal for _, minimal in built] == [False, True] * 2
    assert len({name for name, _ in built}) == 4


def test_an_image_that_is_there_is_not_built(monkeypatch: pytest.MonkeyPatch) -> None:
    emulation = load_target("rpi4").emulation
    assert emulation is not None
    built: list[Path] = []

    def build(folder: Path, *_: object) -> None:
        built.append(folder)
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "disk.ext4").touch()

    monkeypatch.setattr(image, "build_image", build)
    folder = image.image_folder(emulation)
    assert image.image_folder(emulation) == folder and built == [folder]
    assert image.image_folder(emulation, rebuild=True) == folder and built == [folder] * 2


def test_missing_tools_are_named_with_the_line_that_installs_them(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("edgedeploy.foundation.programs.SYSTEM_FOLDERS", ())
    monkeypatch.setenv("PATH", "/nonexistent")
    with pytest.raises(HostError, match="qemu-system-aarch64, mke2fs, e2fsck are not installed") as caught:
        need("qemu-system-aarch64", "mke2fs", "e2fsck")
    assert caught.value.hint == apt_line("e2fsprogs", "qemu-system-arm")
    assert caught.value.hint.endswith("apt-get install -y --no-install-recommends e2fsprogs qemu-system-arm")
    monkeypatch.setattr("os.geteuid", lambda: 1000)
    assert apt_line("x").startswith("sudo apt-get ")


def test_a_tool_s_own_words(tmp_path: Path) -> None:
    with pytest.raises(HostError, match=r"cp failed \(exit status 1\)") as caught:
        run("cp", str(tmp_path / "none"), str(tmp_path / "to"))
    assert "No such file" in caught.value.why
