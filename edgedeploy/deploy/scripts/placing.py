"""The scripts that assemble a release on a device, put it in its place, and take it away."""

from __future__ import annotations

from edgedeploy.deploy.scripts.noting import LOG

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

REMOVE = """
cd .edgedeploy/releases || exit 1
rm -rf "$1/$2" "$1/$2.partial" "$1/$2.parent" "$1/$2.unconfirmed" "$1/$2.verdict" "$1/$2.sig"
rm -rf "../staging/$2.sig" "../partial/.wanted.$1"
rmdir "$1" 2>/dev/null || :
"""

# $1 is a model; then its releases that are to go, none for the model itself: then what is current goes first.
UNINSTALL = (
    LOG
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
