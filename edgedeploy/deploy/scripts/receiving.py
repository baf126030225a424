"""The scripts on a device that receive contents, verify them, and keep what a cut transfer has brought.

`edgedeploy.deploy.scripts` says what lies where.
"""

from __future__ import annotations

from edgedeploy.deploy.scripts.failures import IS_FULL
from edgedeploy.deploy.scripts.signatures import SIGNERS

# `rename LINK LINK`: one takes the place of the other, in one step. Where the other leads to a folder, a plain `mv`
# would move it in there. GNU, busybox and toybox have -T; BSD has -h. Either is refused by those that do not know it.
RENAME = """
rename() { mv -T "$1" "$2" 2>/dev/null || mv -h "$1" "$2" 2>/dev/null || mv -T "$1" "$2"; }
"""

# Removes what a push that died has left behind, but for what it had received: each such file is the beginning of a
# blob, or all of it, and `PRESENT` looks what it is worth. A release that it had just moved aside gets its place back.
# Says `links` where a file may have two names, which some file systems and Android do not allow, and `counted-links`
# where each takes an inode, as on tmpfs; `no-rename` where no link takes the place of another, and `no-programs` where
# none can be started (on a full disk, neither is known); what `SIGNERS` says, and `ssh-keygen` where that is there to
# check a signature.
PREPARE = (
    RENAME
    + """
set -eu
cd .edgedeploy
for folder in blobs blobs/sha256 releases current staging partial; do
    # A file where our folder belongs is nobody's. A link may lead to another disk.
    [ -L "$folder" ] || [ -d "$folder" ] || rm -f "$folder"
done
mkdir -p blobs/sha256 releases current staging partial
for beside in releases/*/*.unconfirmed releases/*/*.parent releases/*/*.verdict releases/*/*.sig; do
    # Nor is a folder where a file of ours belongs: it could not be taken away with `rm -f`.
    [ -L "$beside" ] || [ ! -d "$beside" ] || rm -rf "$beside"
done
for aside in releases/*/*.replaced; do
    whole=${aside%.replaced}
    { [ ! -e "$aside" ] && [ ! -L "$aside" ]; } || [ -e "$whole" ] || mv "$aside" "$whole"
done
for folder in staging/*/blobs; do
    set -- "$folder"/*
    [ ! -f "$1" ] || mv -f "$@" partial/
done
for part in partial/*; do
    case ${part#partial/} in *[!0-9a-f]*) rm -rf "$part" ;; esac
    { [ -f "$part" ] && [ ! -L "$part" ]; } || rm -rf "$part"
done
rm -rf releases/*/*.replaced || :
rm -rf staging/* releases/*/*.partial current/.*.new
inodes() {
    set -- $(df -Pi staging | tail -n 1)
    printf '%s' "${4:-}"
}
{ : >staging/one && left=$(inodes) && ln staging/one staging/two && echo links; } 2>/dev/null || true
[ ! -e staging/two ] || [ "$(inodes 2>/dev/null)" = "$left" ] || echo counted-links
rm -f staging/one staging/two
if { mkdir staging/old staging/new && ln -s old staging/was && ln -s new staging/is; } 2>/dev/null; then
    rename staging/is staging/was 2>/dev/null || :
    [ "$(readlink staging/was)" = new ] || echo no-rename
fi
if { printf '#!/bin/sh\\nexit 0\\n' >staging/try && [ -s staging/try ]; } 2>/dev/null; then
    chmod 755 staging/try 2>/dev/null || :
    # What is still open for writing in a process that was just forked cannot be started for a moment.
    { staging/try || { sleep 1 && staging/try; }; } 2>/dev/null || echo no-programs
fi
rm -rf staging/old staging/new staging/was staging/is staging/try
! command -v ssh-keygen >/dev/null 2>&1 || echo ssh-keygen
"""
    + SIGNERS
)

# Two lines of `df`, of space in KiB and of inodes; of these nothing where it does not know them.
FREE = """
df -Pk .edgedeploy | tail -n 1
df -Pi .edgedeploy 2>/dev/null | tail -n 1
"""

# Reads hashes. Says `whole HASH` for those whose content is there and was read back just now, and
# `begun HASH SIZE SHA256` for those of which the first SIZE bytes are, with the hash of these. Damaged blobs are
# removed. $1 is the model that they are for: until it has them, they are remembered as what a transfer is to bring, so
# that no sweep takes them. Where that cannot be written, they are sent again, and no more.
PRESENT = """
set -eu
cd .edgedeploy
store=$PWD
trap 'cd "$store/staging" && rm -f wanted listed whole' EXIT
cat >staging/wanted
cp staging/wanted "partial/.wanted.$1" 2>/dev/null || rm -f "partial/.wanted.$1"
for part in partial/*; do
    [ -f "$part" ] || continue
    hash=${part#partial/}
    if [ -f "blobs/sha256/$hash" ]; then rm -f "$part"; continue; fi
    # Another transfer's.
    grep -qxF -e "$hash" staging/wanted || continue
    sum=$(sha256sum <"$part")
    sum=${sum%% *}
    if [ "$sum" = "$hash" ]; then
        printf '%s\\n' "$hash" >>staging/whole
    else
        printf 'begun %s %s %s\\n' "$hash" $(($(wc -c <"$part"))) "$sum"
    fi
done
if [ -f staging/whole ]; then
    sync
    while read -r hash; do
        chmod a-w "partial/$hash" 2>/dev/null || :
        rm -rf "blobs/sha256/$hash"
        mv -f "partial/$hash" blobs/sha256/
    done <staging/whole
    sync
fi
cd blobs/sha256
while read -r hash; do
    # A link leads to what others write.
    if [ -f "$hash" ] && [ ! -L "$hash" ]; then printf '%s  %s\\n' "$hash" "$hash"; else rm -rf "$hash"; fi
done <../../staging/wanted >../../staging/listed
[ -s ../../staging/listed ] || exit 0
sha256sum -c ../../staging/listed 2>/dev/null | while read -r hash verdict; do
    hash=${hash%:}
    if [ "$verdict" = OK ]; then echo "whole $hash"; else rm -f "$hash"; fi
done
"""

# Where the stream ended too early, what came stays, for the next push to go on with; but no disk is left full.
DAMAGED = 4

# Reads the rest of a blob, as gzip. $1 is its hash, $2 how much of it is there, $3 its size.
APPEND = (
    IS_FULL
    + """
set -eu
cd .edgedeploy
part="partial/$1"
[ $(($(wc -c <"$part"))) = "$2" ] || { echo "$1 is not as long as it was" >&2; exit 1; }
chmod u+w "$part" 2>/dev/null || :
said=$({ gzip -dc >>"$part"; } 2>&1) || { ! is_full "$said" || rm -f "$part"; }
[ -f "$part" ] && [ $(($(wc -c <"$part"))) -ge "$3" ] || { printf '%s\\n' "$said" >&2; exit 1; }
sum=$(sha256sum <"$part")
[ "${sum%% *}" = "$1" ] || { rm -f "$part"; echo "$1" >&2; exit 4; }
sync
chmod a-w "$part" 2>/dev/null || :
mv -f "$part" blobs/sha256/
sync
"""
)

# Reads a tar archive of blobs, as gzip; each is verified before it gets its place. Ends with DAMAGED when one is not
# itself. Its folder is its own: one whose connection was lost may still be at work when the next push begins.
STORE = (
    IS_FULL
    + """
set -eu
cd .edgedeploy/staging
staging=$PWD
mkdir "$$" "$$/blobs"
said=$({ gzip -dc | tar -x -f - -C "$$/blobs"; } 2>&1) || {
    ! is_full "$said" || rm -rf "$$"
    printf '%s\\n' "$said" >&2
    exit 1
}
trap 'cd "$staging"; rm -rf "$$"' EXIT
cd "$$/blobs"
ls | while read -r hash; do printf '%s  %s\\n' "$hash" "$hash"; done >../list
sha256sum -c ../list >../verdicts 2>/dev/null || { grep -v ': OK$' ../verdicts >&2; exit 4; }
sync
ls | xargs -n 200 sh -c 'mv -f "$@" ../../../blobs/sha256/ && cd ../../../partial && rm -f "$@"' sh
sync
"""
)
