"""Which algorithms a configuration leaves: the same as `ssh -G` says."""

from __future__ import annotations

import shutil
import subprocess

import pytest

from edgedeploy.device.ssh.algorithms import left_of
from edgedeploy.foundation.errors import UnsupportedError

OPTIONS = ("HostKeyAlgorithms", "PubkeyAcceptedAlgorithms", "KexAlgorithms", "Ciphers", "MACs")


def said_by_ssh(option: str, value: str | None) -> list[str]:
    given = [] if value is None else ["-o", f"{option}={value}"]
    said = subprocess.check_output(["ssh", "-G", "-F", "none", *given, "pi"], text=True)
    return dict(line.partition(" ")[::2] for line in said.splitlines())[option.lower()].split(",")


@pytest.mark.slow
@pytest.mark.parametrize("option", OPTIONS)
def test_as_openssh(option: str) -> None:
    if shutil.which("ssh") is None:
        pytest.skip("needs ssh: apt-get install openssh-client")
    usual = said_by_ssh(option, None)
    first, second, last = usual[0], usual[1], usual[-1]
    for value in (
        *(f"{last},{first}", f"{second}", f"-{first}", f"-{first[:4]}*", f"-*{last[-2:]},{second}"),
        *(f"^{last}", f"^{last},{second}", f"+{last}", f"-{last},nothing*"),
    ):
        assert left_of(usual, option, value, host="pi") == said_by_ssh(option, value), value


def test_what_is_not_ours_is_passed_over() -> None:
    assert left_of(("a", "b"), "Ciphers", "c,b", host="pi") == ["b"]
    assert left_of(("a", "b"), "Ciphers", "+c", host="pi") == ["a", "b"]
    assert left_of(("a", "b"), "Ciphers", "", host="pi") == ["a", "b"]


@pytest.mark.parametrize("value", ["c", "-*", "-a,b", "none"])
def test_nothing_left_is_told(value: str) -> None:
    with pytest.raises(UnsupportedError, match="none of the Ciphers that are allowed for pi is known") as caught:
        left_of(("a", "b"), "Ciphers", value, host="pi")
    assert value in caught.value.why and "a, b" in caught.value.hint
