"""Trusted host keys: OpenSSH's files, with ssh-keygen as the judge."""

from __future__ import annotations

import subprocess
from pathlib import Path

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edgedeploy.device.emulator.keys import new_key_pair
from edgedeploy.device.ssh.known_hosts import fingerprint, host_name, known_keys, remember
from edgedeploy.foundation.errors import HostError, InvalidFileError

KEY = new_key_pair().public
KIND, BASE64 = KEY.split()


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "known_hosts"


def knows(file: Path, name: str) -> bool:
    return bool(known_keys([file], name))


@pytest.mark.parametrize(
    ("hosts", "name", "expected"),
    [
        ("pi", "pi", True),
        ("PI", "pi", True),
        ("pi", "pi.example", False),
        ("other,pi,third", "pi", True),
        ("*.example", "pi.example", True),
        ("*.example,!pi.example", "pi.example", False),
        ("!pi.example,*.example", "pi.example", False),
        ("pi?", "pi4", True),
        ("[pi]:2222", "[pi]:2222", True),
        ("[pi]:2222", "pi", False),
        ("[pi]:2222", "[p]:2222", False),
        ("[10.0.0.*]:*", "[10.0.0.7]:2222", True),
        ("::1", "::1", True),
        ("|1|broken", "pi", False),
        ("|1|x|y", "pi", False),
        ("|2|AAAA|AAAA", "pi", False),
    ],
)
def test_names(file: Path, hosts: str, name: str, expected: bool) -> None:
    file.write_text(f"{hosts} {KEY} a comment\n")
    assert knows(file, name) is expected


def test_hashed(file: Path) -> None:
    file.write_text(f"[pi]:2222 {KEY}\n")
    subprocess.run(["ssh-keygen", "-q", "-H", "-f", file], check=True, capture_output=True)
    assert file.read_text().startswith("|1|")
    assert knows(file, "[pi]:2222")
    assert not knows(file, "[pj]:2222")


@pytest.mark.parametrize(
    "line",
    ["", "# pi", "pi", "pi ssh-ed25519", "pi ssh-ed25519 not-base64", "@cert-authority pi {key}", "@other pi {key}",
     "@revoked", "#pi {key}", "\x00", "pi\u2028{key}"],
)  # fmt: skip
def test_a_line_that_is_no_key_stands_in_nobodys_way(file: Path, line: str) -> None:
    file.write_text(f"{line.format(key=KEY)}\npi {KEY}\n", encoding="utf-8")
    assert len(known_keys([file], "pi")) == 1


def test_a_file_that_is_not_text(file: Path) -> None:
    file.write_bytes(b"\xff\xfe\x00 x y\npi " + KEY.encode() + b"\n")
    assert knows(file, "pi")


def test_revoked(file: Path) -> None:
    file.write_text(f"@revoked * {KEY}\n")
    assert [key.revoked for key in known_keys([file], "pi")] == [True]


def test_all_files_count_and_missing_ones_are_empty(file: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_text(f"pi {KEY}\n")
    assert [key.path for key in known_keys([tmp_path / "none", file, other], "pi")] == [other]


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    with pytest.raises(InvalidFileError):
        known_keys([tmp_path], "pi")


def test_a_place_that_cannot_be_written(tmp_path: Path) -> None:
    with pytest.raises(HostError):
        remember(tmp_path, "pi", KIND, b"")


def test_the_fingerprint_is_openssh_s(file: Path) -> None:
    file.write_text(f"pi {KEY}\n")
    key = known_keys([file], "pi")[0]
    seen = subprocess.run(["ssh-keygen", "-lf", "-"], input=KEY, capture_output=True, text=True, check=True).stdout
    assert fingerprint(key.kind, key.blob).split()[1] == seen.split()[1]


def test_what_is_remembered_is_known_to_openssh_too(file: Path) -> None:
    name = host_name("pi", 2222)
    file.write_text("# no end of line")
    key_blob = known_keys_blob(file)
    remember(file, name, KIND, key_blob)
    assert [(key.kind, key.blob) for key in known_keys([file], name)] == [(KIND, key_blob)]
    assert subprocess.run(["ssh-keygen", "-F", name, "-f", file], capture_output=True, check=True).stdout


def known_keys_blob(file: Path) -> bytes:
    other = file.with_name("one key")
    other.write_text(f"x {KEY}\n")
    return known_keys([other], "x")[0].blob


@pytest.mark.slow
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(st.text("ab.*?![]:1", min_size=1, max_size=6), min_size=1, max_size=3).map(",".join),
    st.text("ab.1", min_size=1, max_size=4),
    st.sampled_from([22, 1]),
)
@example("!a", "a", 22)
@example("*,!*", "a", 22)
def test_openssh_agrees(file: Path, hosts: str, host: str, port: int) -> None:
    name = host_name(host, port)
    file.write_text(f"{hosts} {KEY}\n")
    theirs = subprocess.run(["ssh-keygen", "-F", name, "-f", file], capture_output=True, check=False)
    assert knows(file, name) is bool(theirs.stdout.strip())
