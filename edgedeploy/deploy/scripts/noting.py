"""The part of scripts that writes into a device's log, and the script that does nothing else."""

from __future__ import annotations

# What is written down of a change: event, model, release, detail. Who it was, the lock says. What cannot be written,
# on a full disk say, stands in the way of nothing.
LOG = """
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

# Only writes down: event, model, release, detail.
NOTE = (
    LOG
    + """
cd .edgedeploy && note "$1" "$2" "$3" "$4"
"""
)
