"""The scripts on a device that check signatures.

`edgedeploy.deploy.scripts` says what lies where.
"""

from __future__ import annotations

# Says `signers` where the device's owner asks for signed releases, also when the file that names the signers is a link
# to one that is not there, say on a partition that is not mounted; then, and where it cannot be read, `no-signers` too.
SIGNERS = """
if [ -e allowed_signers ] || [ -L allowed_signers ]; then
    echo signers
    { [ -f allowed_signers ] && cat allowed_signers >/dev/null; } 2>/dev/null || echo no-signers
fi
"""

# $1 is a signature, $2 the manifest that it has to be of, $3 what it has to be for. Says who signed. Every line of the
# signers is tried by itself: of a whole file, ssh-keygen names only the first line that has the key, and another line
# may have it with other options. A line may have several names; one with `!` is whom it is not for. The line goes
# through a descriptor, as the way back must not need room on a full disk.
_VERIFY_SIGNATURE = """
verify_signature() {
    by=/proc/self/fd/3
    [ -e /proc/self/fd ] || by=/dev/fd/3
    # Also tells why, where no line has this key.
    ssh-keygen -Y find-principals -s "$1" -f allowed_signers >/dev/null || return 1
    while IFS= read -r line || [ -n "$line" ]; do
        who=$(ssh-keygen -Y find-principals -s "$1" -f "$by" 2>/dev/null 3<<LINE
$line
LINE
        ) || continue
        printf '%s\\n' "$who" | tr , '\\n' | {
            while IFS= read -r each; do
                case $each in '' | !*) continue ;; esac
                ssh-keygen -Y verify -f "$by" -I "$each" -n "$3" -s "$1" <"$2" >&2 3<<LINE || continue
$line
LINE
                printf '%s\\n' "$each"
                exit 0
            done
            exit 1
        } && return 0
    done <allowed_signers
    return 1
}
"""

WRONG_CLOCK = 6

# Reads the signature of a release that is to come: $3 is the folder with its manifest. It waits for `PLACE`, so that
# the signature of a release that is there stays as it is until this one has passed. $4 is what it has to be for. Ends
# with WRONG_CLOCK, and the clock's date, when that is before $5, in seconds since 1970, or before the file of signers
# was written: then the validity of a key says nothing.
CHECK_SIGNATURE = (
    _VERIFY_SIGNATURE
    + """
set -eu
cd .edgedeploy
cat >"staging/$2.sig"
now=$(date +%s 2>/dev/null || true)
case $now in ''|*[!0-9]*) now=0 ;; esac
# Not every date can say it. A day is what the clocks of two machines may be apart by their time zones.
written=$(date -r allowed_signers +%s 2>/dev/null || true)
case $written in ''|*[!0-9]*) written=0 ;; esac
if [ "$now" -lt "$5" ] || [ "$((now + 86400))" -lt "$written" ]; then
    date -u +%Y-%m-%dT%H:%M:%SZ >&2
    exit 6
fi
verify_signature "staging/$2.sig" "releases/$1/$3/manifest.json" "$4"
"""
)

# The same where no signature is asked for. In place of one that is there comes only one of the same manifest: says
# `unfit` of any other.
TAKE_SIGNATURE = """
set -eu
cd .edgedeploy
cat >"staging/$2.sig"
[ -f "releases/$1/$2.sig" ] || exit 0
ssh-keygen -Y check-novalidate -n "$4" -s "staging/$2.sig" <"releases/$1/$3/manifest.json" >/dev/null 2>&1 || {
    rm -f "staging/$2.sig"
    echo unfit
}
"""

# Of a release that is there. $3 is what the signature has to be for.
VERIFY_SIGNATURE = (
    _VERIFY_SIGNATURE
    + """
set -eu
cd .edgedeploy
signature="releases/$1/$2.sig"
[ -f "$signature" ] || { echo 'it came without a signature' >&2; exit 1; }
verify_signature "$signature" "releases/$1/$2/manifest.json" "$3"
"""
)
