"""The fixed scripts that run on a device, and how they are run.

Those that receive contents are in `edgedeploy.deploy.scripts.receiving`. They need a POSIX shell, tar, sha256sum and
the usual file commands; busybox has all of it. Names, paths and hashes reach them as arguments or on standard input,
never as part of a script, and only after `edgedeploy.foundation.validation` let them through.

    ~/.edgedeploy/blobs/sha256/HASH            every file once, under the SHA-256 of its content
    ~/.edgedeploy/releases/NAME/ID/…           a bundle's files: hard links to blobs, which nobody may write
    ~/.edgedeploy/releases/NAME/ID/.bytecode   what Python made of the sources there at the last check, and its hashes
    ~/.edgedeploy/releases/NAME/ID.parent      the release that was current when this one became so
    ~/.edgedeploy/releases/NAME/ID.unconfirmed  beside one that a push brought or made current, and has not confirmed;
                                               not empty where a `ship` is to confirm it, by its verdict
    ~/.edgedeploy/releases/NAME/ID.verdict     what the last `ship` with it found: holds, breaks or undetermined
    ~/.edgedeploy/releases/NAME/ID.sig         the signature of its manifest, if it came with one
    ~/.edgedeploy/current/NAME                 link to ../releases/NAME/ID: the only truth, switched by one rename
    ~/.edgedeploy/releases/NAME/ID.partial/    a release that has not passed its checks, and is not in its place
    ~/.edgedeploy/staging/                     what is being received
    ~/.edgedeploy/partial/HASH                 the beginning of a blob, of a transfer that was cut
    ~/.edgedeploy/partial/.wanted.NAME         the hashes of what that transfer was to bring
    ~/.edgedeploy/allowed_signers              put there by the device's owner: whose signatures a release needs
    ~/.edgedeploy/lock                         a link whose target says who is at work
    ~/.edgedeploy/log                          what was done, a line each: `edgedeploy.deploy.device_log` reads it
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterable

from edgedeploy.deploy.scripts.failures import FailureKind, failure_kind
from edgedeploy.deploy.scripts.locking import LOCK as LOCK
from edgedeploy.deploy.scripts.receiving import RENAME
from edgedeploy.deploy.scripts.trust import TRUST, UNTRUSTED, untrusted
from edgedeploy.deploy.scripts.verifying import HEALTH as HEALTH
from edgedeploy.device.connection import Completed, Connection
from edgedeploy.device.free_space import free_inodes
from edgedeploy.foundation.errors import BusyError, DeviceError, EdgedeployError
from edgedeploy.foundation.programs import last_lines

_DF_TIMEOUT_S = 20.0
_FEW_INODES = 8
"""What was removed after a failure may be free again."""

# Before every script: tools translate what they say (a French sha256sum says «Réussi» for «OK»), and files get the
# same modes whatever the user's mask is.
#
# What the device's owner has set for their own shell does not count here: options and exported functions of bash, words
# that tools read from the environment (GNU tar's TAR_OPTIONS, sizes in units of BLOCK_SIZE), a CDPATH, with which `cd`
# goes elsewhere and says where. A path over two lines would be read as two.
_PREAMBLE = """set +eufCvx
LC_ALL=C
export LC_ALL
unset IFS
umask 022
unset CDPATH TAR_OPTIONS GZIP GREP_OPTIONS POSIXLY_CORRECT QUOTING_STYLE TIME_STYLE BLOCKSIZE BLOCK_SIZE LS_BLOCK_SIZE
unset DF_BLOCK_SIZE DU_BLOCK_SIZE SIMPLE_BACKUP_SUFFIX VERSION_CONTROL
unset -f cat cd chmod command cp date df du echo exit find grep gzip ln ls mkdir mv printf pwd read readlink rm rmdir
unset -f sha256sum sort sync tail tar test timeout uname wc xargs
unalias -a 2>/dev/null || :
case $PWD in *'
'*) echo 'the path of its home folder has a line break' >&2; exit 7 ;; esac
"""

# What is written down of a change: event, model, release, detail. Who it was, the lock says. What cannot be written,
# on a full disk say, stands in the way of nothing.
_LOG = """
note() {
    by=$(readlink lock 2>/dev/null || true)
    by=${by#* }
    by=${by% @[0-9]*}
    # What never ends would hold us up.
    [ -f log ] || [ ! -e log ] || return 0
    {
        [ ! -f log ] || [ "$(wc -c <log)" -lt 262144 ] || { tail -n 500 log >log.new && mv -f log.new log; }
        printf '%s\\t%s\\t%s\\t%s\\t%s\\t%s\\n' "$(date -u +%Y-%m-%dT%H:%M:%SZ)" "$1" "$2" "$3" "${by#* }" "$4" >>log
    } 2>/dev/null || :
}
"""

TOOLS = """
for tool in cat chmod cp df find grep gzip ln ls mkdir mv readlink rm sha256sum sort sync tail tar uname wc xargs; do
    command -v "$tool" >/dev/null 2>&1 || printf 'missing %s\\n' "$tool"
done
"""

# $1 is what Debian's folders of libraries are called for the bundle's architecture; then names of shared libraries.
LIBRARIES = """
triplet=$1
shift
known=$(PATH=$PATH:/sbin:/usr/sbin ldconfig -p 2>/dev/null)
for name; do
    for folder in "/lib/$triplet" "/usr/lib/$triplet" /lib /usr/lib /lib64 /usr/lib64 /usr/local/lib; do
        [ ! -e "$folder/$name" ] || continue 2
    done
    case $known in *[[:space:]]"$name ("*) continue ;; esac
    printf 'missing %s\\n' "$name"
done
"""

# Says which locales the C library knows, where there is a program that tells.
LOCALES = """
known=$(locale -a 2>/dev/null) || exit 0
printf '%s\\n' "$known" | head -n 5000 | while read -r name; do
    printf 'locale %s\\n' "$name"
done
"""

# Before a script that changes what is on the device; $1 is what LOCK said. Ends with LOST when another has it now.
LOST = 5
_HELD = """
[ "$(readlink .edgedeploy/lock)" = "$1" ] || exit 5
shift
"""

# Beside its place: `PLACE` moves it there when it has passed.
_ASSEMBLE = """
set -eu
name=$1
id=$2
shift 2
cd .edgedeploy
mkdir -p "releases/$name/$id.partial"
%s
cd "releases/$name/$id.partial"
# An application that writes into its release would change the same file of other releases, and of the store. Some file
# systems keep no modes.
find . -type d -exec chmod 755 {} + 2>/dev/null || :
find . -type f -exec chmod a-w,a+r,u-s,g-s {} + 2>/dev/null || :
# What is run. A content that came as a plain file may be one of a release that is there, whose file stays as it is.
for path; do
    ls -ln "$path" | {
        read -r mode links rest
        case $mode in -r?xr-xr-x*) exit 0 ;; esac
        if [ "$links" -gt 2 ]; then
            cp "$path" "../../../staging/$$.new"
            mv -f "../../../staging/$$.new" "$path"
        fi
        chmod 555 "$path" || [ -x "$path" ]
    }
done
sync
"""

# Reads a tar archive of folders and of hard links to blobs: the whole release in one process. What follows $2 are the
# paths in it that are run.
ASSEMBLE_LINKS = _ASSEMBLE % "tar -x -f -"

# The same where there are no hard links; reads lines of a hash and a path.
ASSEMBLE_COPIES = (
    _ASSEMBLE
    % """
while IFS= read -r line; do
    path="releases/$name/$id.partial/${line#* }"
    mkdir -p "${path%/*}"
    cp "blobs/sha256/${line%% *}" "$path"
done"""
)

# What was assembled, and the signature that came with it, take their places. Until it is confirmed, a release that was
# not there before is known as that.
PLACE = """
set -eu
cd ".edgedeploy/releases/$1"
id=$2
sync
[ ! -f "../../staging/$id.sig" ] || mv -f "../../staging/$id.sig" "$id.sig"
# What is in a release is kept by that.
rm -f "../../partial/.wanted.$1"
[ -d "$id.partial" ] || { sync; exit 0; }
# Bytecode is found by the path of its source, which is another from now on.
rm -rf "$id.partial/.bytecode"
if [ -e "$id" ] || [ -L "$id" ]; then mv "$id" "$id.replaced"; else : >"$id.unconfirmed"; fi
mv "$id.partial" "$id"
sync
# What another user left in it stays: it stands in nobody's way.
rm -rf "$id.replaced" || :
"""

# What `PLACE` has not moved.
DISCARD = """
cd .edgedeploy || exit 1
rm -rf "releases/$1/$2.partial" "staging/$2.sig" "partial/.wanted.$1"
"""

# $3 is `keep` when a release that was current before becomes so again: it keeps its own parent. Else it is unconfirmed:
# that is written before it is current, and taken away by `CONFIRM`, which needs no space; or at once where $3 is
# `confirmed`, since no command is to confirm it. $4 is for the log. One that is not confirmed is no way back: from what
# replaces it, the way back is its own. Where that is the release itself, it was confirmed before, and stays so.
SWITCH = (
    _LOG
    + RENAME
    + """
set -eu
cd .edgedeploy
[ -f "releases/$1/$2/manifest.json" ]
old=$(readlink "current/$1" 2>/dev/null || true)
old=${old##*/}
[ ! -e "releases/$1/$old.unconfirmed" ] || old=$(cat "releases/$1/$old.parent" 2>/dev/null || true)
if [ "$3" != keep ] && [ "$old" != "$2" ]; then
    printf '%s\\n' "$old" >"releases/$1/$2.parent.new"
    mv -f "releases/$1/$2.parent.new" "releases/$1/$2.parent"
    : >"releases/$1/$2.unconfirmed"
fi
rm -f "current/.$1.new"
# No rename replaces a folder with a link.
[ -L "current/$1" ] || [ ! -e "current/$1" ] || mv "current/$1" "staging/$$.current"
ln -s "../releases/$1/$2" "current/.$1.new"
sync
rename "current/.$1.new" "current/$1"
[ "$3" != confirmed ] || rm -f "releases/$1/$2.unconfirmed"
if [ "$3" = keep ]; then note rolled-back "$1" "$2" "$4"; else note activated "$1" "$2" "$4"; fi
rm -rf "staging/$$.current"
sync
"""
)

CONFIRM = 'rm -f ".edgedeploy/releases/$1/$2.unconfirmed" && sync'

# What `ship` made current waits for its verdict.
AWAIT_VERDICT = """
set -eu
cd ".edgedeploy/releases/$1"
echo verdict >"$2.unconfirmed"
rm -f "$2.verdict"
sync
"""

# $3 is the verdict on the release, $4 is for the log. A full disk must not stand in the way of what comes next.
JUDGE = (
    _LOG
    + """
cd .edgedeploy || exit 1
{
    printf '%s\\n' "$3" >"releases/$1/$2.verdict.new" && mv -f "releases/$1/$2.verdict.new" "releases/$1/$2.verdict"
} 2>/dev/null || rm -f "releases/$1/$2.verdict.new" "releases/$1/$2.verdict"
note judged "$1" "$2" "$4"
sync
"""
)

# $1 is a model of which nothing shall be current any more, $2 the release that is, $3 is for the log.
SWITCH_OFF = (
    _LOG
    + """
set -eu
cd .edgedeploy
link=$(readlink "current/$1" 2>/dev/null || true)
[ "${link##*/}" != "$2" ] || rm -f "current/$1"
note taken-back "$1" "$2" "$3"
sync
"""
)

# Only writes down: event, model, release, detail.
NOTE = (
    _LOG
    + """
cd .edgedeploy && note "$1" "$2" "$3" "$4"
"""
)

REMOVE = """
cd .edgedeploy/releases || exit 1
rm -rf "$1/$2" "$1/$2.partial" "$1/$2.parent" "$1/$2.unconfirmed" "$1/$2.verdict" "$1/$2.sig"
rm -rf "../staging/$2.sig" "../partial/.wanted.$1"
rmdir "$1" 2>/dev/null || :
"""

# For each release: one line of facts, then its manifest, whose size the line says. Whether it is confirmed is `yes`,
# `no`, or `awaits` where a verdict is to confirm it; after a colon comes the last verdict, if there was one.
LIST = (
    TRUST
    + """
require_trust any
pwd
cd .edgedeploy/releases 2>/dev/null || exit 0
for folder in */*/; do
    folder=${folder%/}
    # Not one of ours: no name that foundation.validation allows.
    case "$folder" in *[!a-z0-9._/-]*) continue ;; esac
    [ -d "$folder" ] || continue
    case "$folder" in *.partial|*.replaced) continue ;; esac
    name=${folder%%/*}
    id=${folder#*/}
    link=$(readlink "../current/$name" 2>/dev/null || true)
    parent=
    [ ! -f "$folder.parent" ] || parent=$(cat "$folder.parent" 2>/dev/null || true)
    # A folder or a manifest that is a link, or something that never ends: what is there is not what was put there.
    size=0
    [ -L "$folder" ] || [ -L "$folder/manifest.json" ] || [ ! -f "$folder/manifest.json" ] ||
        size=$(wc -c <"$folder/manifest.json" 2>/dev/null || echo 0)
    size=$((size))
    current=no
    case $link in
        "../releases/$folder") current=yes ;;
        # One that leads elsewhere is no release's; one that leads here by another way is.
        ?*/"$id") [ "$(cd "../current/$name" 2>/dev/null && pwd -P)" != "$(cd "$folder" && pwd -P)" ] || current=yes ;;
    esac
    [ -e "$folder.unconfirmed" ] && confirmed=no || confirmed=yes
    [ ! -s "$folder.unconfirmed" ] || confirmed=awaits
    verdict=
    [ ! -f "$folder.verdict" ] || read -r verdict <"$folder.verdict" || :
    case $verdict in holds|breaks|undetermined) confirmed=$confirmed:$verdict ;; esac
    printf '%s %s %s %s %s %s\\n' "$name" "$id" "$current" "$confirmed" "${parent:--}" "$size"
    [ "$size" = 0 ] || cat "$folder/manifest.json"
done
"""
)


# $1 is a model; then its releases that are to go, none for the model itself: then what is current goes first.
UNINSTALL = (
    _LOG
    + """
set -eu
cd .edgedeploy
name=$1
shift
if [ $# = 0 ]; then
    rm -rf "current/$name"
    sync
    rm -rf "releases/$name" "partial/.wanted.$name"
    note uninstalled "$name" - ""
fi
for id; do
    at="releases/$name/$id"
    rm -rf "$at" "$at.parent" "$at.unconfirmed" "$at.verdict" "$at.sig"
    note removed "$name" "$id" ""
done
sync
"""
)

# All that edgedeploy ever put there but the lock, which goes when it is let go.
UNINSTALL_ALL = """
set -eu
cd .edgedeploy
rm -rf current
sync
rm -rf releases blobs staging partial log log.new
"""

# Facts, one to a line, then the end of the log.
STATUS = """
cd .edgedeploy 2>/dev/null || exit 0
printf 'lock %s\\n' "$(readlink lock || true)"
printf 'used_kib %s\\n' "$(du -sk . 2>/dev/null | while read -r size rest; do echo "$size"; done)"
printf 'disk %s\\n' "$(df -Pk . | tail -n 1)"
echo log
[ ! -f log ] || tail -n "$1" log
"""


def argv(script: str, *arguments: str, lock: str | None = None) -> list[str]:
    """Make the command that runs one of the scripts; with `lock`, only as long as that is the device's lock."""
    if lock is None:
        return ["sh", "-c", _PREAMBLE + script, "edgedeploy", *arguments]
    return ["sh", "-c", _PREAMBLE + _HELD + script, "edgedeploy", lock, *arguments]


def run(
    connection: Connection,
    script: str,
    *arguments: str,
    stdin: bytes | Iterable[bytes] = b"",
    timeout_s: float = 120.0,
    doing: str,
    lock: str | None = None,
) -> Completed:
    """Run one of the scripts on the device.

    Args:
        lock: as `device_lock` gives it: the script runs only while that is held.
        doing: what it is for, to be read after «cannot» in the message when it fails.

    Raises:
        DeviceError: it ended with another status than 0; the message has the end of what it said.
        BusyError: the lock is another's by now.
        UnreachableError: the connection was lost.
    """
    completed = connection.run(argv(script, *arguments, lock=lock), stdin=stdin, timeout_s=timeout_s)
    if lock is not None:
        require_lock(connection, completed)
    if completed.exit_status:
        raise failed(connection, doing, completed)
    return completed


def require_lock(connection: Connection, completed: Completed) -> None:
    """Raise BusyError when a script that was run with a lock found that it is another's by now."""
    if completed.exit_status == LOST:
        raise BusyError(
            f"{connection.address} did not hear from us for too long, and has let others in",
            why="this machine slept, or the network between was down",
            hint="run the command again: what was current there still is",
        )


NO_INODES = "remove files on the device, small ones too: df -i there shows how many more its file systems can hold"
_FIXES = {
    FailureKind.NO_SPACE: "free space on the device; what was sent has been removed, and the current release is as it "
    "was",
    FailureKind.READ_ONLY: "mount the device's file system for writing",
    FailureKind.NOT_PERMITTED: "give the user its home folder, or log in as its owner",
    FailureKind.NO_LINKS: "give the user a home folder on ext4, f2fs, btrfs or xfs: what is current is a symbolic link",
    FailureKind.LINE_BREAK: "give the user a home folder whose path is one line",
    FailureKind.OTHER: "",
}


def failed(connection: Connection, doing: str, completed: Completed) -> DeviceError:
    """Return the error for a script that failed, with what mends the usual causes.

    Args:
        doing: what it was for, to be read after «cannot».
    """
    if completed.exit_status == UNTRUSTED:
        return untrusted(connection.address, completed.stderr)
    # A login shell that lets nobody in says so on standard output.
    outputs = [output.decode(errors="replace") for output in (completed.stderr, completed.stdout[-1024:])]
    kind = failure_kind(next((output for output in outputs if output.strip()), ""))
    why = last_lines(*outputs) or f"exit status {completed.exit_status}"
    if kind is FailureKind.NO_SPACE and _has_no_inodes(connection):
        return DeviceError(f"{connection.address} cannot {doing}", why=f"{why}: no inodes are left", hint=NO_INODES)
    return DeviceError(f"{connection.address} cannot {doing}", why=why, hint=_FIXES[kind])


def _has_no_inodes(connection: Connection) -> bool:
    """Ask whether it is inodes that have run out: the kernel has one word for both."""
    with contextlib.suppress(EdgedeployError):
        answer = connection.run(["df", "-Pi", ".edgedeploy"], timeout_s=_DF_TIMEOUT_S)
        left = free_inodes((answer.stdout.decode(errors="replace").splitlines() or [""])[-1])
        return left is not None and left < _FEW_INODES
    return False
