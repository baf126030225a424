"""The scripts on a device that compare a release's folder with its manifest, run its check, and repair it.

`edgedeploy.deploy.scripts` says what lies where.
"""

from __future__ import annotations

# Reads lines as sha256sum writes them; ends well only when all files of the release are as they should be. It writes
# nothing: a full disk must not stand in the way back.
VERIFY = """
cd ".edgedeploy/releases/$1/$2" && sha256sum -c - 2>&1
"""

# Reads lines: `release NAME/ID`, and after it `run PATH` for each file of it that is run. Says for each release what
# its folder holds but for bytecode: `digest NAME/ID SHA256` where $1 is `digest`; else `begin NAME/ID`, and that
# itself: folders, files, what is neither, and what somebody else may write, is set-user-ID or cannot be read, each
# sorted under its heading. Then `cannot-run NAME/ID PATH`. Some file systems keep no modes: there nothing is said of
# them.
LAYOUT = """
cd .edgedeploy/releases || exit 1
store=${PWD%/releases}
what=$1
release=
keeps=
keeps_modes() {
    if [ -z "$keeps" ]; then
        keeps=yes
        probe="$store/.mode.$$"
        if (umask 077 && : >"$probe") 2>/dev/null; then
            case $(ls -ln "$probe") in -rw-------*) ;; *) keeps=no ;; esac
            rm -f "$probe"
        fi
    fi
    [ "$keeps" = yes ]
}
wrong_modes() {
    find . -path ./.bytecode -prune -o -type d \\( -perm -0020 -o -perm -0002 \\) -print
    find . -path ./.bytecode -prune -o -type f \\( -perm -4000 -o -perm -2000 -o -perm -0020 -o -perm -0002 \\
        -o ! -perm -0400 \\) -print
}
layout() {
    echo folders
    find . -path ./.bytecode -prune -o -type d -print | sort
    echo files
    find . -path ./.bytecode -prune -o -type f -print | sort
    echo others
    find . -path ./.bytecode -prune -o ! -type d ! -type f -print | sort
    echo modes
    [ -z "$(wrong_modes)" ] || ! keeps_modes || wrong_modes | sort
}
while IFS= read -r line; do
    case $line in
        "release "*)
            release=${line#release }
            cd "$store/releases/$release" 2>/dev/null || { cd "$store"; release=; continue; }
            if [ "$what" = digest ]; then
                sum=$(layout | sha256sum)
                printf 'digest %s %s\\n' "$release" "${sum%% *}"
            else
                printf 'begin %s\\n' "$release"
                layout
            fi
            ;;
        "run "*) [ -z "$release" ] || [ -x "${line#run }" ] || printf 'cannot-run %s %s\\n' "$release" "${line#run }" ;;
    esac
done
"""

# $1/$2 is a folder in `releases`. What Python made of the sources there at an earlier check may be damaged by now, or
# of other sources: it is made anew, by a check that follows the verification of the sources, and sealed. `run` uses
# what is sealed only. Without a preamble: the application's environment is what the check has to work in.
HEALTH = """
unset CDPATH
folder=".edgedeploy/releases/$1/$2"
bytecode="$folder/.bytecode"
list() { find . ! -type d ! -path ./MD5SUMS -exec md5sum {} + | LC_ALL=C sort; }
is_sealed() { [ -s "$bytecode/MD5SUMS" ] && (cd "$bytecode" && list | cmp -s - MD5SUMS); }
umask 022
derives=
if rm -rf "$bytecode" 2>/dev/null; then
    derives=derive
elif ! is_sealed; then
    echo 'what Python made of its sources is damaged, and cannot be removed: rm -r .bytecode in its folder' >&2
    exit 1
fi
EDGEDEPLOY_BYTECODE=$derives "$folder/run" check
status=$?
if [ -n "$derives" ] && [ -d "$bytecode" ]; then
    (cd "$bytecode" && list >MD5SUMS) 2>/dev/null
fi
exit $status
"""

DROP_BYTECODE = """
rm -rf ".edgedeploy/releases/$1/$2/.bytecode"
"""

# Reads lines of a hash and of a path in `releases`: gives the store back what a release has whole. Says the hashes that
# are whole in the store now.
RECOVER = """
cd .edgedeploy || exit 1
while IFS= read -r line; do
    hash=${line%% *}
    path="releases/${line#* }"
    blob="blobs/sha256/$hash"
    [ ! -e "$blob" ] && [ -f "$path" ] && [ ! -L "$path" ] || continue
    sum=$(sha256sum <"$path") && [ "${sum%% *}" = "$hash" ] || continue
    rm -f "staging/$$.found"
    ln "$path" "staging/$$.found" 2>/dev/null || cp "$path" "staging/$$.found" 2>/dev/null || continue
    chmod a-w "staging/$$.found" 2>/dev/null
    mv -f "staging/$$.found" "$blob" && printf '%s\\n' "$hash"
done
rm -f "staging/$$.found"
sync
"""

# Reads lines: a hash, `run` or `plain`, and a path in `releases`. The file there gets the content that the store has,
# under a name that nobody writes to any more.
RELINK = """
cd .edgedeploy || exit 1
while IFS= read -r line; do
    hash=${line%% *}
    rest=${line#* }
    path="releases/${rest#* }"
    blob="blobs/sha256/$hash"
    [ -f "$path" ] && [ ! -L "$path" ] && [ -f "$blob" ] || continue
    rm -f "staging/$$.link"
    if [ "${rest%% *}" = run ]; then
        cp "$blob" "staging/$$.link" && chmod 555 "staging/$$.link"
    else
        ln "$blob" "staging/$$.link" 2>/dev/null || cp "$blob" "staging/$$.link"
    fi && mv -f "staging/$$.link" "$path"
done
rm -f "staging/$$.link"
sync
"""
