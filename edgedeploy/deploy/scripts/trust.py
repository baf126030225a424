"""The part of scripts on a device that looks whom its store belongs to, and what is said where it is not to be trusted.

What is in the store is run: whoever can write there decides what that is. The rules are those of sshd's `StrictModes`:
it belongs to the user that logs in, or to root, and nobody else can write it.
"""

from __future__ import annotations

import shlex

from edgedeploy.foundation.errors import DeviceError
from edgedeploy.foundation.sanitize import printable

UNTRUSTED = 8
"""The exit status of a script that found its store to be another's, or open to others."""
_SHOWN = 8

# Ends the script with UNTRUSTED; on standard error are the home folder, the user, and a line for each place: `owner`,
# `open` (to others) or `dangling`, and its path. $1 is `mine` where root's is not enough, since it is to be written.
TRUST = """
require_trust() {
    found=$(
        if [ -L .edgedeploy ]; then
            [ -d .edgedeploy/. ] || { echo dangling .edgedeploy; exit 0; }
            # Who can move what it leads to, can put something else there.
            ls -ldn .edgedeploy "$(cd -P .edgedeploy/.. && pwd -P)" 2>/dev/null
        fi | suspects any
        ls -ldnL .edgedeploy .edgedeploy/* .edgedeploy/blobs/sha256 .edgedeploy/releases/* .edgedeploy/releases/*/* \\
            2>/dev/null | suspects "$1"
    )
    [ -n "$found" ] || return 0
    printf '%s\\n%s\\n%s\\n' "$(pwd)" "$(id -un 2>/dev/null || id -u)" "$found" >&2
    exit 8
}
suspects() {
    me=$(id -u 2>/dev/null || :)
    while read -r mode links owner group size month day time path; do
        case $mode in dangling) echo "$mode $links"; continue ;; esac
        # Where there is no id(1), whose it is, is not asked. Android writes a date in one word less.
        [ -n "$me" ] || me=$owner
        [ -n "$path" ] || path=$time
        path=${path%% -> *}
        # A device has two numbers in the place of a size. Its mode is the system's, and nothing is run from one.
        case $mode in [bc]*) continue ;; esac
        case $1$owner in
            *[!a-z0-9]*|mine"$me"|any"$me"|any0) ;;
            mine0) case $mode in d*) echo "owner $path" ;; esac ;;
            *) echo "owner $path" ;;
        esac
        case $mode in
            l*|?????????[tT]*) ;;
            ?????w*|????????w*) echo "open $path" ;;
        esac
    done
}
"""


def untrusted(address: str, stderr: bytes) -> DeviceError:
    """Return the error for what `TRUST` found.

    Args:
        stderr: what it wrote.
    """
    home, user, *lines = [*stderr.decode(errors="replace").splitlines(), "", ""]
    found = [line.partition(" ") for line in lines if line]
    paths = {kind: [path for each, _, path in found if each == kind] for kind in ("owner", "open", "dangling")}
    if not any(paths.values()):
        return DeviceError(f"{address} does not say whom its store belongs to", why=printable(home))
    if paths["dangling"]:
        return DeviceError(
            f"{home}/.edgedeploy on {address} is a link to a folder that is not there",
            why="what it leads to is not mounted, or was removed",
            hint="mount it, or remove the link: " + shlex.join(["rm", f"{home}/.edgedeploy"]),
        )
    commands = []
    if paths["owner"]:
        whole = ".edgedeploy" in paths["owner"]
        chown = ["chown", "-R", user] if user == "root" else ["sudo", "chown", "-R", user]
        commands.append(_command(chown, home, [".edgedeploy"] if whole else paths["owner"]))
    if paths["open"]:
        commands.append(_command(["chmod", "go-w"], home, paths["open"]))
    kind = "owner" if paths["owner"] else "open"
    what = "belongs to another user" if kind == "owner" else "can be written by other users"
    return DeviceError(
        f"{_absolute(home, paths[kind][0])} on {address} {what}",
        why="what is there is run as the user that logs in; nothing was changed",
        hint=("" if address.startswith("local:") else "on the device: ") + " && ".join(commands),
    )


def _command(words: list[str], home: str, paths: list[str]) -> str:
    return shlex.join([*words, *(_absolute(home, path) for path in paths[:_SHOWN])])


def _absolute(home: str, path: str) -> str:
    return path if path.startswith("/") else f"{home}/{path}"
