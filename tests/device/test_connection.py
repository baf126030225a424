"""What every `Connection` has to keep to, held against each kind."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from edgedeploy.device.connection import Connection
from edgedeploy.device.local import LocalConnection
from edgedeploy.foundation.errors import DeviceError

pytestmark = pytest.mark.slow

HARMLESS_S = 60.0
"""A limit that no sound run comes near."""


@pytest.fixture(params=["local", pytest.param("ssh", marks=pytest.mark.device)])
def connection(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Connection]:
    if request.param == "local":
        with LocalConnection("local:", tmp_path / "device home") as opened:
            yield opened
    else:
        with request.getfixturevalue("sshd").connect() as opened:
            yield opened


def test_runs_in_the_home_folder(connection: Connection, tmp_path: Path) -> None:
    answer = connection.run(["sh", "-c", 'pwd; printf %s "$HOME"'])
    assert answer.stdout.decode() == f"{tmp_path}/device home\n{tmp_path}/device home"
    assert (answer.exit_status, answer.stderr) == (0, b"")


@pytest.mark.parametrize(
    "word",
    ["", "two words", "it's", 'say "x"', "$HOME", "`id`", "a\nb\n", "*", "~", "\\n", "-n", "ä€𝄞", "a;b&c|d", "!x", "#"],
)
def test_words_arrive_as_they_are(connection: Connection, word: str) -> None:
    answer = connection.run(["printf", "%s|", "before", word, "after"])
    assert answer.stdout.decode() == f"before|{word}|after|"


def test_takes_and_gives_megabytes_at_the_same_time(connection: Connection) -> None:
    data = bytes(range(256)) * 4096 * 5
    answer = connection.run(["sh", "-c", "head -c 5242880 /dev/zero; cat"], stdin=data)
    assert answer.exit_status == 0
    assert hashlib.sha256(answer.stdout).digest() == hashlib.sha256(bytes(5 << 20) + data).digest()


def test_input_may_come_in_pieces(connection: Connection) -> None:
    pieces = (bytes([number]) * 100_000 for number in range(20))
    assert connection.run(["wc", "-c"], stdin=pieces).stdout.strip() == b"2000000"


def test_a_command_may_end_without_reading_its_input(connection: Connection) -> None:
    answer = connection.run(["sh", "-c", "echo no; exit 3"], stdin=(bytes(1 << 20) for _ in range(64)))
    assert (answer.exit_status, answer.stdout) == (3, b"no\n")


def test_an_error_of_who_gives_the_input_is_not_hidden(connection: Connection) -> None:
    def broken() -> Iterator[bytes]:
        yield b"x"
        raise ValueError("the source failed")

    with pytest.raises(ValueError, match="the source failed"):
        connection.run(["cat"], stdin=broken())
    assert connection.run(["echo", "still there"]).stdout == b"still there\n"


def test_keeps_the_end_of_what_a_command_says_on_standard_error(connection: Connection) -> None:
    answer = connection.run(["sh", "-c", "seq 1 1000000 >&2; echo done"])
    assert answer.stdout == b"done\n"
    assert len(answer.stderr) == 64 << 10
    assert answer.stderr.endswith(b"999999\n1000000\n")


@pytest.mark.parametrize(
    ("script", "status"),
    [("exit 0", 0), ("exit 3", 3), ("exit 255", 255), ("kill -TERM $$", 143), ("kill -KILL $$", 137)],
)
def test_exit_status(connection: Connection, script: str, status: int) -> None:
    assert connection.run(["sh", "-c", script]).exit_status == status


def test_a_command_that_is_not_there(connection: Connection) -> None:
    answer = connection.run(["no-such-command", "x"])
    assert answer.exit_status == 127
    assert b"no-such-command" in answer.stderr


def test_silence_has_a_limit(connection: Connection) -> None:
    with pytest.raises(DeviceError, match="sleep"):
        connection.run(["sleep", "20"], timeout_s=0.5)
    assert connection.run(["echo", "next"]).stdout == b"next\n"


def test_silence_of_a_command_that_takes_no_input_has_a_limit(connection: Connection) -> None:
    with pytest.raises(DeviceError, match="sleep"):
        connection.run(["sleep", "20"], stdin=bytes(32 << 20), timeout_s=0.5)


@pytest.mark.parametrize("script", ["yes", "yes & cat >/dev/null"])
def test_an_answer_has_a_limit(connection: Connection, script: str) -> None:
    with pytest.raises(DeviceError, match="says more than it should"):
        connection.run(["sh", "-c", script], stdin=(bytes(1 << 16) for _ in iter(int, 1)))
    assert connection.run(["echo", "next"]).stdout == b"next\n"


def test_a_command_that_goes_on_talking_has_a_limit(connection: Connection) -> None:
    script = "n=0; while [ $n -lt 200 ]; do echo still here; sleep 0.1; n=$((n + 1)); done"
    with pytest.raises(DeviceError, match=r"did not end within 0\.5 s"):
        connection.run(["sh", "-c", script], timeout_s=0.5)
    assert connection.run(["echo", "next"]).stdout == b"next\n"


def test_a_command_that_is_ended_leaves_nothing_behind(connection: Connection, tmp_path: Path) -> None:
    process = connection.start(["sh", "-c", "echo $$; sleep 600 & echo $!; wait"])
    numbers = [process.stdout.readline().decode().strip() for _ in range(2)]
    process.kill()
    gone = 'n=0; while kill -0 "$1" || kill -0 "$2"; do n=$((n + 1)); [ $n -lt 100 ] || exit 1; sleep 0.1; done'
    assert connection.run(["sh", "-c", gone, "sh", *numbers]).exit_status == 0


@pytest.mark.parametrize(
    "child",
    [
        "sleep 600",
        "setsid sleep 600",
        "while sleep 0.2; do echo .; done",
        "while sleep 0.2; do echo . >&2; done",
        "yes",
    ],
)
def test_a_child_that_keeps_the_output_open_is_no_reason_to_wait(connection: Connection, child: str) -> None:
    """The command's own end counts: its status, and all that it wrote itself."""
    script = f"({child}) & echo $!; echo said >&2; exit 3"
    answer = connection.run(["sh", "-c", script], timeout_s=HARMLESS_S)
    number, _, _ = answer.stdout.partition(b"\n")
    assert answer.exit_status == 3 and b"said\n" in answer.stderr
    connection.run(["pkill", "-KILL", "-P", number.decode()])
    connection.run(["kill", "-KILL", number.decode()])


def test_a_child_that_goes_on_does_not_end_with_the_command(connection: Connection) -> None:
    answer = connection.run(["sh", "-c", "sleep 600 & echo $!"])
    number = answer.stdout.decode().strip()
    assert connection.run(["kill", "-KILL", number]).exit_status == 0


def test_a_child_that_holds_the_input_and_does_not_read_it_is_no_reason_to_wait(connection: Connection) -> None:
    script = "setsid sleep 600 <&0 >/dev/null 2>&1 & echo $!; exit 4"
    answer = connection.run(["sh", "-c", script], stdin=bytes(32 << 20), timeout_s=HARMLESS_S)
    assert answer.exit_status == 4
    connection.run(["kill", "-KILL", answer.stdout.decode().strip()])


def test_megabytes_that_a_command_left_under_way_at_its_end_are_read(connection: Connection) -> None:
    answer = connection.run(["sh", "-c", "sleep 600 & head -c 3000000 /dev/zero; echo; echo $!"])
    assert answer.stdout[:3_000_000] == bytes(3_000_000)
    connection.run(["kill", "-KILL", answer.stdout[3_000_000:].decode().strip()])


def test_who_gives_the_input_may_take_his_time(connection: Connection) -> None:
    limit_s = 1.0

    def slowly() -> Iterator[bytes]:
        begun_s = time.monotonic()
        while time.monotonic() - begun_s < 1.5 * limit_s:
            time.sleep(0.05)
        yield b"x"

    assert connection.run(["wc", "-c"], stdin=slowly(), timeout_s=limit_s).stdout.strip() == b"1"


def test_a_conversation(connection: Connection) -> None:
    process = connection.start(
        ["sh", "-c", 'while read -r word; do echo "heard $word"; done; printf 0123456789; echo end >&2; exit 5']
    )
    for word in (b"one", b"two"):
        process.stdin.write(word + b"\n")
        process.stdin.flush()
        assert process.stdout.readline() == b"heard " + word + b"\n"
    process.stdin.close()
    assert process.stdout.read(4) == b"0123"
    completed = process.wait(HARMLESS_S)
    assert (completed.exit_status, completed.stdout, completed.stderr) == (5, b"456789", b"end\n")


def test_reading_at_the_end(connection: Connection) -> None:
    process = connection.start(["printf", "no newline"])
    assert process.stdout.readline() == b"no newline"
    assert process.stdout.readline() == b""
    assert process.stdout.read(10) == b""
    assert process.wait(HARMLESS_S).exit_status == 0


def test_waiting_has_a_limit(connection: Connection) -> None:
    process = connection.start(["sleep", "20"])
    with pytest.raises(DeviceError):
        process.wait(0.5)


def test_kill_ends_it_for_whoever_reads(connection: Connection) -> None:
    process = connection.start(["sh", "-c", "echo begun; sleep 20"])
    assert process.stdout.readline() == b"begun\n"
    threading.Timer(0.2, process.kill).start()
    assert process.stdout.readline() == b""
    process.kill()
    process.kill()


def test_two_commands_at_once(connection: Connection) -> None:
    first = connection.start(["cat"])
    second = connection.start(["cat"])
    second.stdin.write(b"second\n")
    second.stdin.flush()
    assert second.stdout.readline() == b"second\n"
    first.stdin.write(b"first\n")
    first.stdin.flush()
    assert first.stdout.readline() == b"first\n"
    assert (first.wait(HARMLESS_S).exit_status, second.wait(HARMLESS_S).exit_status) == (0, 0)


def test_close_twice(connection: Connection) -> None:
    connection.close()
    connection.close()


def test_secrets_of_this_process_are_not_passed_on(connection: Connection, monkeypatch: pytest.MonkeyPatch) -> None:
    """A bundle's program is other people's."""
    secrets = (
        "EDGEDEPLOY_SSH_PASSPHRASE", "SSH_AUTH_SOCK", "AWS_SECRET_ACCESS_KEY", "GITHUB_TOKEN", "HTTPS_PROXY",
        "XDG_RUNTIME_DIR", "LD_PRELOAD_OF_MINE", "PYTHONPATH",
    )  # fmt: skip
    for name in secrets:
        monkeypatch.setenv(name, "nobody-elses")
    given = connection.run(["env"]).stdout.decode().splitlines()
    names = {line.partition("=")[0] for line in given}
    assert {"HOME", "PATH"} <= names
    assert not names & set(secrets) and "nobody-elses" not in "".join(given)


def test_what_a_runner_reads_is_passed_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("TMPDIR", "LANG", "LC_NUMERIC", "LD_LIBRARY_PATH"):
        monkeypatch.setenv(name, f"/{name}")
    given = LocalConnection("local:", tmp_path).run(["env"]).stdout.decode().splitlines()
    assert {"TMPDIR=/TMPDIR", "LANG=/LANG", "LC_NUMERIC=/LC_NUMERIC", "LD_LIBRARY_PATH=/LD_LIBRARY_PATH"} <= set(given)
