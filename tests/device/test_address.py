"""Addresses as people write them, and as they mistype them."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from edgedeploy.device.address import connect
from edgedeploy.foundation.errors import EdgedeployError, UnknownNameError, UnreachableError


@pytest.mark.parametrize(
    "address",
    [
        "ssh://me:hunter2@127.0.0.1",
        "ssh://me:hunter2@127.0.0.1:notaport",
        "ssh://me:hunter2/x@127.0.0.1",
        "ssh://me:hunter2#x@127.0.0.1",
        "ssh://me:22/hunter2@127.0.0.1",
        "ssh://me:hunter2@[::1",
        "me:hunter2@127.0.0.1",
        "http://me:hunter2@127.0.0.1",
    ],
)
def test_a_password_is_refused_and_not_repeated(address: str) -> None:
    with pytest.raises(UnknownNameError) as caught:
        connect(address)
    assert "hunter2" not in str(caught.value)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.text(alphabet="ssh:/@[]?#%. -aZ0\x00\n²é;", max_size=30).map(lambda text: f"ssh://{text}"))
@example("ssh://")
@example("ssh://host:0")
@example("ssh://host:65536")
@example("ssh://[::1")
@example("ssh://-oProxyCommand=x")
@example("ssh://me@host/folder")
@example("ssh://a\nb")
def test_malformed(monkeypatch: pytest.MonkeyPatch, address: str) -> None:
    def no_network(*_: object, **__: object) -> None:
        raise UnreachableError("not tried")

    monkeypatch.setattr("edgedeploy.device.ssh.connection.open_socket", no_network)
    with pytest.raises(EdgedeployError):
        connect(address)


@pytest.mark.parametrize(
    "address",
    [
        "",
        "a b",
        "ssh:",
        "user@",
        "@host",
        "host:22",
        "-x",
        "ssh://h:0",
        "ssh://h/x",
        "local:~nobody-here/x",
        "local:a\0b",
    ],
)
def test_not_an_address(address: str) -> None:
    with pytest.raises(UnknownNameError):
        connect(address)
