"""The scripts that say which release is current on a device, whether it is confirmed, and what was found of it."""

from __future__ import annotations

from edgedeploy.deploy.scripts.noting import LOG
from edgedeploy.deploy.scripts.receiving import RENAME

# $3 is `keep` when a release that was current before becomes so again: it keeps its own parent. Else it is unconfirmed:
# that is written before it is current, and taken away by `CONFIRM`, which needs no space; or at once where $3 is
# `confirmed`, since no command is to confirm it. $4 is for the log. One that is not confirmed is no way back: from what
# replaces it, the way back is its own. Where that is the release itself, it was confirmed before, and stays so.
SWITCH = (
    LOG
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
    LOG
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
    LOG
    + """
set -eu
cd .edgedeploy
link=$(readlink "current/$1" 2>/dev/null || true)
[ "${link##*/}" != "$2" ] || rm -f "current/$1"
note taken-back "$1" "$2" "$3"
sync
"""
)
