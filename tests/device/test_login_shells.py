"""What a device's owner has for a login shell, a home folder and an environment is no matter to a push."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from pathlib import Path

import pytest
from loopback_sshd import Server, may_mount, serve

from edgedeploy.deploy.push import push
from edgedeploy.deploy.releases import list_releases, rollback
from edgedeploy.deploy.status import status
from edgedeploy.deploy.verification import broken_files
from edgedeploy.device.ssh.login_shell import for_any_shell

pytestmark = [pytest.mark.device, pytest.mark.skipif(not may_mount(), reason="needs mount namespaces")]


def _shell(name: str) -> str:
    found = shutil.which(name)
    if found is None:
        pytest.skip(f"no {name}: apt-get install {name}")
    return found


def _walk(server: Server, make_bundle: Callable[..., object]) -> None:
    with server.connect() as device:
        first = push(make_bundle(files={"it's $HOME": b"x"}), device).release
        push(make_bundle(version="2"), device)
        assert Path(first.path).parent == server.home / ".edgedeploy/releases/model"
        assert broken_files(device, first) == ""
        assert rollback(device).id == first.id
        assert status(device, check_health=True).running[0].healthy_now
        assert len(list_releases(device).releases) == 2


@pytest.mark.parametrize("name", ["sh", "bash", "tcsh", "fish", "zsh", "mksh"])
def test_a_login_shell(make_bundle, new_sshd: Callable[..., Server], name: str) -> None:
    _walk(new_sshd("shell", login_shell=_shell(name)), make_bundle)


@pytest.mark.parametrize("name", ["sh", "tcsh", "fish", "bash"])
def test_words_arrive_as_they_are(new_sshd: Callable[..., Server], name: str) -> None:
    words = ["a b", "it's", 'say "no"', "!", "!!", "!$", "\\", "\\'", "\\!", "\\n", "two\nlines", "\n",
             "$HOME `id` $(id)",
             "*", "~", "-n", "ä€😀", "\t", "%s%n", "\\0101", "#", "{a,b}", "", "x\\", "^a^b", "\x01"]  # fmt: skip
    with new_sshd("shell", login_shell=_shell(name)).connect() as device:
        done = device.run(["printf", "<%s>", *words, "end"])
    assert done.stdout.decode() == "".join(f"<{word}>" for word in (*words, "end"))
    assert "\n" not in for_any_shell(words)


@pytest.mark.parametrize(
    "rc",
    [
        "export CDPATH=/tmp:$HOME:.; mkdir -p /tmp/.edgedeploy-test",
        "cd /",
        "set -u; export IFS=e; IFS=e",
        "export TAR_OPTIONS=--verbose BLOCK_SIZE=1M QUOTING_STYLE=c GREP_OPTIONS=--invert-match POSIXLY_CORRECT=1",
        "alias ls='ls --color=always' rm='rm -i' cd='echo cd'; shopt -s expand_aliases; set -o noclobber",
        "export SHELLOPTS; set -o noclobber -o noglob",
        'ls() { echo nothing; }; cd() { builtin cd "$@"; echo "in $PWD"; }; export -f ls cd',
        "umask 077",
        "umask 000",
        "echo welcome; echo to the device >&2",
    ],
)
def test_a_bash_that_was_set_up(make_bundle, new_sshd: Callable[..., Server], rc: str, tmp_path: Path) -> None:
    """bash reads ~/.bashrc where sshd starts it."""
    home = tmp_path / "shell home"
    home.mkdir()
    (home / ".edgedeploy").mkdir()  # that CDPATH may find
    (home / ".bashrc").write_text(rc + "\n")
    server = new_sshd("shell", login_shell=_shell("bash"))
    _walk(server, make_bundle)


_NAMES = ["two  words", "it's", 'a "quote"', "-n", "*", "[a-z]?", "$HOME", "`id`", "back\\slash", "ä"]


@pytest.mark.parametrize("name", _NAMES)
def test_a_home_folder(make_bundle, name: str, tmp_path: Path) -> None:
    with serve(tmp_path / "sshd", tmp_path / name, login_shell=_shell("sh")) as server:
        _walk(server, make_bundle)
