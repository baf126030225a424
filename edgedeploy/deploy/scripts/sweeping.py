"""The scripts on a device that list its contents and remove those that no release needs.

`edgedeploy.deploy.scripts` says what lies where.
"""

from __future__ import annotations

# Contents and beginnings, each with its number of links, its size and its name; then what each interrupted transfer
# was to bring, the latest first.
CONTENTS = """
cd .edgedeploy 2>/dev/null || exit 0
printf 'disk %s\\n' "$(df -Pk . | tail -n 1)"
list() {
    ls -ln "$2" 2>/dev/null | while read -r mode links user group size rest; do
        printf '%s %s %s %s\\n' "$1" "$links" "$size" "${rest##* }"
    done
}
list blob blobs/sha256
list part partial
ls -t partial/.wanted.* 2>/dev/null | while read -r transfer; do
    printf 'transfer %s\\n' "${transfer#partial/.wanted.}"
    while read -r hash; do printf 'wants %s\\n' "$hash"; done <"$transfer"
done
"""

# Reads paths. It writes nothing: a full disk is what it has to help with.
SWEEP = """
set -eu
cd .edgedeploy
xargs -n 200 rm -f
sync
"""
