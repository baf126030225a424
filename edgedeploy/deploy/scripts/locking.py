"""The script that holds the lock of a device's store.

`edgedeploy.deploy.scripts` says what lies where.
"""

from __future__ import annotations

from edgedeploy.deploy.scripts.trust import TRUST

# $1 says who we are, $2 for how many seconds we may be silent. Holds the lock while its standard input is open and a
# line comes now and then: a machine that lost its power or its network says nothing, and sshd would wait for it for
# hours. What a power cut of the device leaves is known by the boot it belongs to, what a killed process leaves by its
# number and by when it began. Says what the lock's link points to, which nobody else's does.
LOCK = (
    TRUST
    + """
set -eu
require_trust mine
mkdir -p .edgedeploy
cd .edgedeploy
boot=$(cat /proc/sys/kernel/random/boot_id 2>/dev/null || echo unknown)
# When a process began, in ticks since the boot, as `@TICKS`: the 22nd field of proc(5)'s stat, whose second may be any
# words in brackets. Nothing where the system does not tell.
began() {
    stat=$(cat "/proc/$1/stat" 2>/dev/null) || return 0
    set -- ${stat##*) }
    [ $# -lt 20 ] || printf '@%s' "${20}"
}
since=$(began $$)
mine="$boot $$ $1${since:+ $since}"
# $1 is a process, $2 when it began.
lives() {
    kill -0 "$1" 2>/dev/null || return 1
    # A number may be another process's by now.
    case $2 in
        @*) [ "$(began "$1")" = "$2" ] ;;
        *) [ ! -r "/proc/$1/cmdline" ] || grep -q edgedeploy "/proc/$1/cmdline" ;;
    esac
}
# Where nothing can be made any more, for want of inodes, releases that are not current give some: what Python made of
# their sources is made anew when they are checked.
free_inodes() {
    for each in releases/*/*/.bytecode; do
        release=${each%/.bytecode}
        name=${release#releases/}
        [ "$(readlink "current/${name%%/*}" || true)" = "../$release" ] || rm -rf "$each"
    done 2>/dev/null
}
# A lock is a link that leads nowhere. Whatever else has its name is nobody's: into a folder, ln would put the link.
until [ ! -e lock ] && ln -s "$mine" lock 2>/dev/null; do
    # Not for a lock: the place cannot be written. Once more, to be told why.
    if [ ! -L lock ] && [ ! -e lock ]; then
        free_inodes
        ln -s "$mine" lock && break
        { : >.written && rm -f .written; } 2>/dev/null && echo 'its file system has no symbolic links' >&2
        exit 1
    fi
    theirs=$(readlink lock || true)
    rest=${theirs#* }
    who=${rest#* }
    since=${who##* }
    case $since in @*) who=${who% *} ;; *) since= ;; esac
    if [ "${theirs%% *}" = "$boot" ] && lives "${rest%% *}" "$since"; then
        printf 'busy %s\\n' "$who"
        exit 0
    fi
    # Its holder is gone. Take it away under a name of ours; if it was not the one we saw, somebody was quicker.
    mv lock "lock.$$"
    if [ "$(readlink "lock.$$")" != "$theirs" ]; then
        mv "lock.$$" lock
        echo 'busy another edgedeploy'
        exit 0
    fi
    rm -rf "lock.$$"
done
trap '[ "$(readlink lock)" != "$mine" ] || rm -f lock' EXIT
trap 'exit 0' HUP INT TERM PIPE
printf 'locked %s\\n' "$mine"
# Where there is no such tool, or one that wants other words, silence has no limit.
limit="timeout $2"
$limit true 2>/dev/null || limit=
while $limit sh -c 'read -r line'; do :; done
"""
)
