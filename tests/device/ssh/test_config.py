"""What ~/.ssh/config says of a host: the same as `ssh -G` says."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from edgedeploy.device.ssh.config import host_config
from edgedeploy.foundation.errors import InvalidFileError, UnsupportedError

CONFIGS = {
    "nothing": "",
    "first value wins": "Host pi\n  Port 1\nHost *\n  Port 2\n  User root\n",
    "equal signs and case": "hOST = pi\n  PORT=1\n  user = me\n",
    "comments": "Host pi # other\n  Port 1 # two\n  HostName a#b\nHost other#\n  User me\n",
    "quotes": 'Host "pi"\n  IdentityFile "/a b"\n  UserKnownHostsFile "/c d" /e\n  User "x"\n',
    "backslashes": "Host pi\n  IdentityFile /a\\ b\n  UserKnownHostsFile /c\\ d /e\n",
    "negated first": "Host !pi *\n  Port 1\n",
    "negated last": "Host p* !pi\n  Port 1\n",
    "negated other": "Host p* !po\n  Port 1\n",
    "negated alone": "Host !po\n  Port 1\n",
    "marks": "Host p? x\n  Port 1\nHost p*i\n  User me\nHost [p]i\n  HostKeyAlias y\n",
    "hostname with a token": "Host pi\n  HostName %h.example.com\n",
    "keys add up": "Host pi\n  IdentityFile /a\nHost *\n  IdentityFile /b\n  IdentityFile /a\n",
    "match host": "Match host pi\n  Port 1\n",
    "match with equal signs": "Match host=pi user=root\n  Port 1\nMatch host = pi\n  Port 2\n",
    "match in capitals": "Match HOST pi\n  Port 1\n",
    "match all": "Match all\n  Port 1\n",
    "match a list": "Match host a,p*,!po\n  Port 1\n",
    "match not": "Match !host other\n  Port 1\nMatch !host pi\n  User me\n",
    "match by the name that was given": "Host pi\n  HostName other\nMatch originalhost pi\n  Port 1\n",
    "match by the name so far": "Host pi\n  HostName other\nMatch host other\n  Port 1\nMatch host pi\n  Port 2\n",
    "a name that comes later": "Match host other\n  Port 1\nHost pi\n  HostName other\n",
    "match by the user so far": "User me\nMatch user me\n  Port 1\nMatch user root\n  HostKeyAlias x\n",
    "match final": "Match final\n  Port 1\nHost pi\n  Port 2\n",
    "match final by the last name": "Match final host other\n  Port 1\nHost pi\n  HostName other\n",
    "a final pass finds other hosts": "Host other\n  Port 1\nHost pi\n  HostName other\nMatch final\n  User me\n",
    "match not final": "Match !final\n  Port 1\nHost *\n  Port 2\n",
    "match canonical": "Match canonical\n  Port 1\n",
    "a full name": "CanonicalizeHostname yes\nHost pi\n  HostName 127.0.0.1\nMatch canonical\n  Port 1\n",
    "full names without domains": "CanonicalizeHostname yes\nMatch canonical\n  Port 1\n",
    "only these keys": "Host pi\n  IdentitiesOnly yes\n  IdentityFile /a\n",
    "an alias": "HostKeyAlias known\n",
    "files of known hosts": "UserKnownHostsFile /a /b\nGlobalKnownHostsFile /c /d\n",
    "jump first": "ProxyJump a,b:2\nProxyCommand nc %h %p\n",
    "no command first": "ProxyCommand none\nProxyJump a\n",
    "no jump first": "ProxyJump none\nProxyCommand nc %h %p\n",
    "tabs": "Host\tpi\n\tPort\t1\n",
    "other options": "ConnectTimeout 5\nStrictHostKeyChecking no\nVerifyHostKeyDNS yes\nPort 1\n",
}


def written(text: str) -> Path:
    folder = Path.home() / ".ssh"
    folder.mkdir(exist_ok=True)
    (folder / "config").write_text(text)
    return folder / "config"


@pytest.mark.slow
@pytest.mark.parametrize("case", CONFIGS)
def test_as_openssh(case: str) -> None:
    if shutil.which("ssh") is None:
        pytest.skip("needs ssh: apt-get install openssh-client")
    path = written(CONFIGS[case])
    command = ["ssh", "-G", "-F", path, "pi"]
    said = [line.partition(" ")[::2] for line in subprocess.check_output(command, text=True).splitlines()]
    theirs = dict(said)
    ours = host_config("pi")
    assert ours.host == theirs["hostname"]
    assert str(ours.port) == theirs["port"]
    assert ours.user == theirs["user"]
    assert ours.only_these_keys == (theirs["identitiesonly"] == "yes")
    assert ours.known_as == theirs.get("hostkeyalias")
    assert ours.jump == theirs.get("proxyjump")
    keys = [value for name, value in said if name == "identityfile" and not value.startswith("~")]
    assert [str(key) for key in ours.key_paths] == keys
    files = f"{theirs['userknownhostsfile']} {theirs['globalknownhostsfile']}"
    if "nownHosts" in CONFIGS[case]:
        expected = files if "Global" in CONFIGS[case] else theirs["userknownhostsfile"]
        assert " ".join(str(file) for file in ours.known_hosts).startswith(expected)


def test_included_files_belong_to_their_block() -> None:
    """A block that does not hold for the host does not let a block of an included file hold either."""
    (written("Host other\n  Include more\nHost pi\n  Include more\n  User me\n").parent / "more").write_text(
        "Port 1\nHost pi\n  HostKeyAlias x\nHost no\n  User nobody\n"
    )
    found = host_config("pi")
    assert (found.port, found.known_as, found.user) == (1, "x", "me")
    written("Host other\n  Include more\n")
    assert (host_config("pi").port, host_config("pi").known_as) == (22, None)


def test_what_is_given_besides_wins() -> None:
    written("Match user me\n  HostKeyAlias mine-%%\nHost *\n  Port 1\n  User root\n  IdentityFile /%r-%p\n")
    found = host_config("pi", user="me", port=2)
    assert (found.user, found.port, found.key_paths) == ("me", 2, (Path("/me-2"),))
    assert found.known_as is not None and host_config("pi").known_as is None


def test_the_system_s_file_comes_after_the_user_s(tmp_path: Path) -> None:
    written("Host pi\n  Port 1\n")
    (tmp_path / "ssh_config").write_text("Include more\nHost *\n  Port 2\n  HostKeyAlias x\n")
    (tmp_path / "more").write_text("User me\n")
    found = host_config("pi", system_file=tmp_path / "ssh_config")
    assert (found.port, found.known_as, found.user) == (1, "x", "me")


def test_a_mistake_in_the_system_s_file_is_its_own(tmp_path: Path) -> None:
    written("Port 1\n")
    (tmp_path / "ssh_config").write_text("Port\n")
    with pytest.raises(InvalidFileError, match="ssh_config cannot be read") as caught:
        host_config("pi", system_file=tmp_path / "ssh_config")
    assert str(tmp_path) in caught.value.what


@pytest.mark.parametrize(("text", "expected_s"), [("5", 5), ("2m", 120), ("1h30M", 5400), ("none", None)])
def test_connect_timeout(text: str, expected_s: float | None) -> None:
    written(f"ConnectTimeout {text}\n")
    assert host_config("pi").connect_timeout_s == expected_s


def test_a_certificate_is_beside_its_key_or_refused() -> None:
    written("IdentityFile /a/key\nCertificateFile /a/key-cert.pub\n")
    assert host_config("pi").key_paths == (Path("/a/key"),)
    written("IdentityFile /a/key\nCertificateFile /a/key-cert.pub\nCertificateFile '/b c'\n")
    with pytest.raises(UnsupportedError, match="/b c") as caught:
        host_config("pi")
    assert caught.value.hint == "cp '/b c' /a/key-cert.pub"


def test_only_the_default_keys() -> None:
    written("IdentitiesOnly yes\n").with_name("id_ed25519").touch()
    assert host_config("pi").key_paths == (Path.home() / ".ssh/id_ed25519",)


@pytest.mark.parametrize("criterion", ["exec true", "localnetwork 192.0.2.0/24", "tagged x"])
def test_what_is_not_judged_is_refused_only_where_it_changes_the_answer(criterion: str) -> None:
    for harmless in (
        f"Match {criterion} host other\n  Port 1\n",
        f"Port 2\nMatch {criterion}\n  Port 1\n",
        f"Match {criterion}\n  ForwardAgent yes\n",
    ):
        written(harmless)
        assert host_config("pi").port in (2, 22)
    written(f"Match {criterion} host pi\n  Port 1\n")
    with pytest.raises(UnsupportedError, match="depends on `Match"):
        host_config("pi")


@pytest.mark.parametrize(
    "option",
    [
        "ProxyCommand nc %h %p",
        "KnownHostsCommand /bin/keys %H",
        "PKCS11Provider /lib/p.so",
        "SecurityKeyProvider /lib/s.so",
    ],
)
def test_programs_that_are_not_run(option: str) -> None:
    written(f"{option}\n")
    with pytest.raises(UnsupportedError, match=option.split()[0]):
        host_config("pi")
    name = option.split()[0]
    written(f"{name} {'internal' if name == 'SecurityKeyProvider' else 'none'}\n{option}\n")
    assert host_config("pi").host == "pi"


@pytest.mark.parametrize(
    "text", ["Port\n", "ConnectTimeout soon\n", "Match host\n", "Match nonsense x\n", "= 1\n", 'User "x\n']
)
def test_a_mistake(text: str) -> None:
    written(text)
    with pytest.raises(InvalidFileError, match="cannot be read as SSH's configuration"):
        host_config("pi")
