"""The fixed scripts that run on a device, and how they are run.

They need a POSIX shell, tar, sha256sum and the usual file commands; busybox has all of it. Names, paths and hashes
reach them as arguments or on standard input, never as part of a script, and only after `edgedeploy.safe_paths` let
them through.

    ~/.edgedeploy/blobs/sha256/HASH            every file once, under the SHA-256 of its content
    ~/.edgedeploy/releases/NAME/ID/…           a bundle's files: hard links to blobs
    ~/.edgedeploy/releases/NAME/ID.parent      the release that was current when this one became so
    ~/.edgedeploy/current/NAME                 link to ../releases/NAME/ID: the only truth, switched by one rename
    ~/.edgedeploy/staging/                     what is being received
    ~/.edgedeploy/lock                         a link whose target says who is at work
"""

from __future__ import annotations

from collections.abc import Iterable

from edgedeploy.device.connection import Completed, Connection
from edgedeploy.errors import DeviceError

# $1 is the Python that is wanted, or nothing; it may be there beside another one.
PROBE = """
for tool in sh tar sha256sum xargs readlink ln mv mkdir rm chmod df sync; do
    command -v "$tool" >/dev/null 2>&1 || printf 'missing %s\\n' "$tool"
done
printf 'machine %s\\n' "$(uname -m)"
for python in "python$1" python3; do
    version=$("$python" -I -S -c 'import sys; print("%d.%d" % sys.version_info[:2])' 2>/dev/null) && break
done
printf 'python %s\\n' "$version"
"""

# Holds the lock while its standard input is open: it ends with the connection, however that ends. What a power cut
# leaves behind is known by the boot it belongs to, what a killed process leaves behind by its number.
LOCK = """
set -eu
mkdir -p .edgedeploy
cd .edgedeploy
boot=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo unknown)
mine="$boot $$ $1"
until ln -s "$mine" lock 2>/dev/null; do
    # Not for a lock: the place cannot be written. Once more, to be told why.
    [ -L lock ] || { ln -s "$mine" lock; break; }
    theirs=$(readlink lock || true)
    rest=${theirs#* }
    if [ "${theirs%% *}" = "$boot" ] && kill -0 "${rest%% *}" 2>/dev/null; then
        printf 'busy %s\\n' "${rest#* }"
        exit 0
    fi
    # Its holder is gone. Take it away under a name of ours; if it was not the one we saw, somebody was quicker.
    mv lock "lock.$$"
    if [ "$(readlink "lock.$$")" != "$theirs" ]; then
        mv "lock.$$" lock
        echo 'busy another edgedeploy'
        exit 0
    fi
    rm -f "lock.$$"
done
trap 'rm -f lock' EXIT
trap 'exit 0' HUP INT TERM PIPE
echo locked
cat >/dev/null
"""

# Removes what a push that died has left behind. A release that it had just moved aside gets its place back.
PREPARE = """
set -eu
cd .edgedeploy
mkdir -p blobs/sha256 releases current staging
for aside in releases/*/*.replaced; do
    whole=${aside%.replaced}
    [ ! -e "$aside" ] || [ -e "$whole" ] || mv "$aside" "$whole"
done
rm -rf staging/* releases/*/*.partial releases/*/*.replaced current/.*.new
"""

FREE_KIB = "df -Pk .edgedeploy | tail -n 1"

# Reads hashes; says of each whether it is missing, and verifies every one that is there by reading it.
MISSING = """
set -eu
cd .edgedeploy/blobs/sha256
trap 'rm -f ../../staging/present' EXIT
: >../../staging/present
while read -r hash; do
    if [ -f "$hash" ]; then
        printf '%s  %s\\n' "$hash" "$hash" >>../../staging/present
    else
        printf 'missing %s\\n' "$hash"
    fi
done
[ -s ../../staging/present ] || exit 0
sha256sum -c ../../staging/present 2>/dev/null | while read -r hash verdict; do
    if [ "$verdict" != OK ]; then
        rm -f "${hash%:}"
        printf 'missing %s\\n' "${hash%:}"
    fi
done
"""

# Reads a tar archive of blobs; each is verified before it gets its place. Ends with DAMAGED when one is not itself.
# Its folder is its own: one whose connection was lost may still be at work when the next push begins.
DAMAGED = 4
STORE = """
set -eu
cd .edgedeploy/staging
staging=$PWD
mkdir "$$" "$$/blobs"
trap 'cd "$staging"; rm -rf "$$"' EXIT
tar -x -f - -C "$$/blobs"
cd "$$/blobs"
ls | while read -r hash; do printf '%s  %s\\n' "$hash" "$hash"; done >../list
sha256sum -c ../list >../verdicts 2>/dev/null || { grep -v ': OK$' ../verdicts >&2; exit 4; }
sync
ls | xargs -n 200 sh -c 'mv -f "$@" ../../../blobs/sha256/' sh
sync
"""

# Reads a tar archive of folders and of hard links to blobs: the whole release in one process. What follows $2 are
# the paths in it that are run; a blob that is already there may have come as a plain file.
ASSEMBLE = """
set -eu
id=$2
cd .edgedeploy
mkdir -p "releases/$1"
tar -x -f -
cd "releases/$1"
shift 2
[ $# = 0 ] || (cd "$id.partial" && chmod 755 "$@")
sync
[ ! -e "$id" ] || mv "$id" "$id.replaced"
mv "$id.partial" "$id"
sync
rm -rf "$id.replaced"
"""

# Reads lines as sha256sum writes them; prints nothing when all files of the release are as they should be. It writes
# nothing: a full disk must not stand in the way back.
VERIFY = """
cd ".edgedeploy/releases/$1/$2" || exit 1
sha256sum -c - 2>&1 | grep -v ': OK$' | head -n 5
exit 0
"""

HEALTH = 'exec ".edgedeploy/releases/$1/$2/run" check'

# $3 is `keep` when a release that was current before becomes so again: it keeps its own parent.
SWITCH = """
set -eu
cd .edgedeploy
[ -f "releases/$1/$2/manifest.json" ]
old=$(readlink "current/$1" 2>/dev/null || true)
old=${old##*/}
if [ "$3" != keep ] && [ "$old" != "$2" ]; then
    printf '%s\\n' "$old" >"releases/$1/$2.parent.new"
    mv -f "releases/$1/$2.parent.new" "releases/$1/$2.parent"
fi
rm -f "current/.$1.new"
ln -s "../releases/$1/$2" "current/.$1.new"
sync
mv -T "current/.$1.new" "current/$1"
sync
"""

REMOVE = 'rm -rf ".edgedeploy/releases/$1/$2" ".edgedeploy/releases/$1/$2.parent"'

# For each release: one line of facts, then its manifest, whose size the line says.
LIST = """
pwd
cd .edgedeploy/releases 2>/dev/null || exit 0
for folder in */*/; do
    folder=${folder%/}
    # Not one of ours: no name that safe_paths allows.
    case "$folder" in *[!a-z0-9._/-]*) continue ;; esac
    [ -d "$folder" ] || continue
    case "$folder" in *.partial|*.replaced) continue ;; esac
    name=${folder%%/*}
    id=${folder#*/}
    link=$(readlink "../current/$name" 2>/dev/null || true)
    parent=$(cat "$folder.parent" 2>/dev/null || true)
    size=$(wc -c <"$folder/manifest.json" 2>/dev/null || echo 0)
    [ "${link##*/}" = "$id" ] && current=yes || current=no
    printf '%s %s %s %s %s\\n' "$name" "$id" "$current" "${parent:--}" "$size"
    [ "$size" = 0 ] || cat "$folder/manifest.json"
done
"""


def run(
    connection: Connection,
    script: str,
    *arguments: str,
    stdin: bytes | Iterable[bytes] = b"",
    timeout_s: float = 120.0,
    doing: str,
) -> Completed:
    """Run one of the scripts on the device.

    Args:
        doing: what it is for, to be read after «cannot» in the message when it fails.

    Raises:
        DeviceError: it ended with another status than 0; the message has the end of what it said.
        UnreachableError: the connection was lost.
    """
    completed = connection.run(["sh", "-c", script, "edgedeploy", *arguments], stdin=stdin, timeout_s=timeout_s)
    if completed.exit_status:
        raise failed(connection, doing, completed)
    return completed


def failed(connection: Connection, doing: str, completed: Completed) -> DeviceError:
    """The error for a script that failed, with the usual causes named."""
    said = completed.stderr.decode(errors="replace").strip()
    mend = ""
    if "No space left" in said:
        mend = "free space on the device; what was sent has been removed, and the current release is as it was"
    elif "Read-only file system" in said:
        mend = "mount the device's file system for writing"
    elif "Permission denied" in said:
        mend = "give the user its home folder, or log in as its owner"
    why = " | ".join(said.splitlines()[-4:]) or f"exit status {completed.exit_status}"
    return DeviceError(f"{connection.address} cannot {doing}", why=why, mend=mend)
