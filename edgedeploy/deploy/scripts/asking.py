"""The scripts that ask a device what it has, which releases are there and what was done; they change nothing."""

from __future__ import annotations

from edgedeploy.deploy.scripts.trust import TRUST

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

# Facts, one to a line, then the end of the log.
STATUS = """
cd .edgedeploy 2>/dev/null || exit 0
printf 'lock %s\\n' "$(readlink lock || true)"
printf 'used_kib %s\\n' "$(du -sk . 2>/dev/null | while read -r size rest; do echo "$size"; done)"
printf 'disk %s\\n' "$(df -Pk . | tail -n 1)"
echo log
[ ! -f log ] || tail -n "$1" log
"""
