#!/bin/sh
# The smoke test of a bundle, on the board itself and without a laptop:    sh smoke
#
# It verifies the files beside it, asks the board what it is, runs the bundle's golden inputs, measures, looks at the
# board's state, says PASS or FAIL, and leaves result-HOST-DATE.json beside itself: `edgedeploy smoke --read` shows
# that. Exits 0 on PASS, 1 on FAIL.
#
# Made by `edgedeploy smoke --kit`. Any POSIX shell will do, and busybox's commands. What it is about stands in the file
# `facts`, a word and a value to a line; nothing of that is ever executed. The limits and the words are those of
# workflows/smoke/conditions.py.
# The folder may be read-only, without executable files, and without room: then what is run is a copy in a temporary
# folder, which is removed at the end. $EDGEDEPLOY_SMOKE_ROOT is another root for /proc and /sys, for tests.
set -u
LC_ALL=C
export LC_ALL
umask 022
root=${EDGEDEPLOY_SMOKE_ROOT:-}
work=
trap '[ -z "$work" ] || rm -rf "$work"' EXIT
trap 'exit 130' HUP INT TERM

say() { printf '%s\n' "$1 ..." >&2; }
# What may stand in a line and in JSON: printable ASCII without quotes and backslashes.
clean() { printf '%s' "$1" | tr '\n\t"\\' '    ' | tr -cd '\040-\176' | cut -c1-300; }
# A whole number that every shell can compute with, else nothing.
whole() {
    case $1 in
        '' | *[!0-9]* | ????????????*) ;;
        *) printf '%s' "$1" ;;
    esac
}
# The first line of a file.
first() { { IFS= read -r text || [ -n "$text" ]; } 2>/dev/null <"$1" && printf '%s' "$text"; }
# Of thousands of bytes.
size() {
    if [ "$1" -ge 10000000 ]; then printf '%s GB' "$(($1 / 1000000))"
    elif [ "$1" -ge 10000 ]; then printf '%s MB' "$(($1 / 1000))"
    else printf '%s kB' "$1"; fi
}
from_kib() { size "$(($1 + $1 / 1000 * 24 + $1 % 1000 * 24 / 1000))"; }
ms() {
    case ${1%%.*} in
        ???*) printf '%.0f ms' "$1" ;;
        *) printf '%.3g ms' "$1" ;;
    esac
}

here=$(CDPATH='' cd -- "$(dirname -- "$0")" && pwd -P) || exit 1
if [ ! -f "$here/facts" ] || [ ! -f "$here/SHA256SUMS" ]; then
    printf 'FAIL  %s\n' "there is no whole kit in $here: make it again: edgedeploy smoke --kit FOLDER --bundle BUNDLE"
    exit 1
fi
schema='' edgedeploy='' name='' id='' target='' architecture='' backend='' python='' runner='' seconds=''
golden=0 size_kib=0 needs_kib=0 files=0 made_at=0
while IFS= read -r fact; do
    value=${fact#* }
    case ${fact%% *} in
        schema) schema=$(whole "$value") ;;
        edgedeploy) edgedeploy=$(clean "$value") ;;
        name) name=$(clean "$value") ;;
        id) id=$(clean "$value") ;;
        target) target=$(clean "$value") ;;
        architecture) architecture=$(clean "$value") ;;
        backend) backend=$(clean "$value") ;;
        python) python=$(clean "$value") ;;
        runner) runner=$value ;;
        golden_samples) golden=$(whole "$value") ;;
        size_kib) size_kib=$(whole "$value") ;;
        needs_kib) needs_kib=$(whole "$value") ;;
        files) files=$(whole "$value") ;;
        made_at) made_at=$(whole "$value") ;;
        seconds) seconds=$(clean "$value") ;;
    esac
done <"$here/facts"
golden=${golden:-0} size_kib=${size_kib:-0} needs_kib=${needs_kib:-0} files=${files:-0} made_at=${made_at:-0}
host=$(clean "$(uname -n)")
host=${host:-board}

table='' json='' todo='' failed='' undetermined=0 golden_ok=no files_ok=no broken=
# $1 is what was looked at, $2 its state as JSON has it, $3 what was seen, $4 what to do next.
line() {
    state=$2
    [ "$2" != 'cannot be told' ] || state='not determined'
    table="$table$(printf '%-12s %-15s %s' "$1" "$state" "$3")
"
    json="$json${json:+,}{\"key\":\"$1\",\"state\":\"$2\",\"figure\":\"$3\",\"mend\":\"${4:-}\"}"
    case $2 in
        failed) failed="$failed${failed:+, }$1" ;;
        'cannot be told') undetermined=$((undetermined + 1)) ;;
    esac
    [ -z "${4:-}" ] || todo="$todo  $1: $4
"
}
# What needs the lines before it is not tried where one of those failed.
untried() { line "$1" 'cannot be told' "not tried, because of: $broken"; }

# --- what the board says of itself

kib_of() {
    while read -r key value rest; do
        [ "$key" != "$1:" ] || { whole "$value"; break; }
    done 2>/dev/null <"$root/proc/meminfo"
}
free_kib() { df -Pk "$1" 2>/dev/null | tail -n 1 | { read -r from blocks used free rest && whole "$free"; }; }
# The hottest, in thousandths of a degree.
temperature() {
    hottest=
    for zone in "$root"/sys/class/thermal/thermal_zone*; do
        found=$(whole "$(first "$zone/temp")")
        [ -z "$found" ] || [ "$found" -eq 0 ] || [ "$found" -le "${hottest:-0}" ] || hottest=$found
    done
    printf '%s' "$hottest"
}
# https://www.raspberrypi.com/documentation/computers/os.html#get_throttled
throttled() {
    said=$(vcgencmd get_throttled 2>/dev/null </dev/null) ||
        said=$(first "$root/sys/devices/platform/soc/soc:firmware/get_throttled")
    said=${said#throttled=}
    said=${said#0x}
    case $said in
        '' | *[!0-9a-f]* | ?????????*) ;;
        *) printf '%s' "$((0x$said))" ;;
    esac
}
# Whether this is QEMU's: its seconds are another machine's.
is_emulated() {
    tr -d '\000' 2>/dev/null <"$root/proc/device-tree/compatible" | grep -q dummy-virt && return
    [ -d "$root/sys/firmware/qemu_fw_cfg" ] || [ "$(first "$root/sys/class/dmi/id/sys_vendor")" = QEMU ]
}
uptime_s() { read -r up rest <"/proc/uptime" && printf '%s' "${up%%.*}"; }

available_kib=$(kib_of MemAvailable)
swap_kib=$(kib_of SwapFree)
hot_before=$(temperature)
throttled_before=$(throttled)
emulated=no
is_emulated && emulated=yes

# --- the files

# What lies among the bundle's files and is not in the list: Python would find some of it first. A Mac leaves files of
# its own on every stick.
extra_in() {
    all=$(CDPATH='' cd -- "$1/bundle" && find . ! -type d ! -name '._*' ! -name .DS_Store 2>/dev/null)
    [ "$(printf '%s\n' "$all" | grep -c .)" -gt "$(grep -c '^[0-9a-f]*  bundle/' "$1/SHA256SUMS")" ] || return 0
    printf '%s\n' "$all" | while IFS= read -r path; do
        grep -qF -e "  bundle/${path#./}" "$1/SHA256SUMS" || printf 'bundle/%s (not of the kit) ' "${path#./}"
    done
}
# All that are wrong in a folder; nothing when there are as many as there should be and each is whole.
wrong_in() {
    answers=$(CDPATH='' cd -- "$1" && sha256sum -c SHA256SUMS 2>/dev/null)
    whole_files=$(printf '%s\n' "$answers" | grep -c ': OK$')
    if [ "$whole_files" = "$files" ] && [ "$files" != 0 ]; then
        extra=$(extra_in "$1")
        clean "${extra% }"
        return 0
    fi
    bad=$(printf '%s\n' "$answers" | grep ': FAILED' | head -n 5 | sed 's/: FAILED.*//' | tr '\n' ' ')
    bad=${bad% }
    # busybox says nothing on standard output of a file that is missing.
    [ -n "$bad" ] || bad=$(while read -r hash path; do [ -f "$1/$path" ] || printf '%s ' "$path"; done <"$1/SHA256SUMS")
    clean "${bad:-the list of the files, SHA256SUMS, or facts}"
}

say "verifying the files"
damaged= can_verify=no
if command -v sha256sum >/dev/null 2>&1; then
    can_verify=yes
    damaged=$(wrong_in "$here")
fi

# --- where to run it

# Every runner answers 2 to no word at all; 126 and 127 are the shell's, for what it cannot start.
runs_in() {
    "$1/bundle/$runner" >/dev/null 2>&1 </dev/null
    case $? in
        126 | 127) return 1 ;;
    esac
}
# A folder of ours in which programs can be started and the bundle has room.
make_work() {
    for place in "${TMPDIR:-}" "${HOME:-}" /var/tmp /tmp /dev/shm /run; do
        [ -n "$place" ] && [ -d "$place" ] || continue
        free=$(free_kib "$place")
        [ "${free:-0}" -gt "$((size_kib + size_kib / 8 + 1024))" ] || continue
        work="$place/edgedeploy-smoke.$$"
        (umask 077 && mkdir "$work") 2>/dev/null || { work=; continue; }
        { printf '#!/bin/sh\nexit 7\n' >"$work/try" && chmod 700 "$work/try"; } 2>/dev/null
        "$work/try" 2>/dev/null
        [ $? -ne 7 ] || return 0
        rm -rf "$work"
        work=
    done
    return 1
}
copy() {
    make_work || { placed="it cannot be started in $here, and no folder here has room for a copy and may start programs"; return 1; }
    say "copying it to $work"
    cp -R "$here/bundle" "$here/SHA256SUMS" "$here/facts" "$here/smoke" "$work/" 2>/dev/null || {
        placed="it cannot be copied to $work"
        return 1
    }
    while IFS= read -r fact; do
        case $fact in "executable "*) chmod 755 "$work/bundle/${fact#* }" ;; esac
    done <"$here/facts"
    [ -z "$(wrong_in "$work")" ] || { placed="its copy in $work is damaged"; return 1; }
    from=$work
}

# --- one line after the other

board=$(tr -d '\000' 2>/dev/null <"$root/proc/device-tree/model" || first "$root/sys/class/dmi/id/product_name")
system=$(sed -n 's/^PRETTY_NAME="\{0,1\}\([^"]*\).*/\1/p' "$root/etc/os-release" 2>/dev/null)
machine=$(clean "$(uname -m)")
board=$(clean "$board")
system=$(clean "$system")
[ "$emulated" = no ] || board="${board:-$machine}, emulated"
line board ok "${board:-$machine}, ${system:-$(clean "$(uname -sr)")}"

fits=no
case $architecture:$machine in
    aarch64:arm64 | x86_64:amd64 | armv7l:armv8l | armv7l:aarch64 | armv6l:armv7l | armv6l:armv8l | armv6l:aarch64)
        fits=yes ;;
    *) [ "$architecture" != "$machine" ] || fits=yes ;;
esac
if [ -n "$damaged" ] || [ "$can_verify" = no ]; then
    broken=files
    untried fits
elif [ "$fits" = no ]; then
    broken=fits
    line fits failed "the bundle is for $architecture, and this is $machine" \
        "take the kit of a bundle that was compiled for a --target of $machine"
elif [ -n "$available_kib" ] && [ "$needs_kib" -gt "$((available_kib + ${swap_kib:-0}))" ]; then
    broken=fits
    line fits failed "it takes $(from_kib "$needs_kib") of memory, and $(from_kib "$available_kib") are available" \
        "end other programs, add swap, or make the model smaller: edgedeploy optimize MODEL --recipe weights-int8 -o SMALLER"
else
    line fits ok "made for $target: $architecture, $backend${python:+, Python $python}"
fi

if [ -n "$broken" ]; then
    untried release
else
    from=$here placed=
    # Where programs look for libraries, a colon ends a path.
    case $here in
        *:*) copy ;;
        *) runs_in "$here" || copy ;;
    esac
    if [ -n "$placed" ]; then
        broken=release
        line release failed "$(clean "$placed")" "mount it with exec, or set TMPDIR to a folder with $(from_kib "$size_kib") free"
    elif [ "$from" = "$here" ]; then
        line release ok "$name $id, from this kit"
    else
        line release ok "$name $id, from a copy of this kit in $(clean "${work%/*}")"
    fi
fi

if [ "$can_verify" = no ]; then
    line files 'cannot be told' "there is no sha256sum here" "install busybox or coreutils on the board"
elif [ -n "$damaged" ]; then
    line files failed "damaged: $damaged" \
        "make the kit again: edgedeploy smoke --kit FOLDER --bundle BUNDLE; if it happens again, replace the stick"
else
    files_ok=yes
    line files ok "$files files, $(from_kib "$size_kib"), SHA-256 verified"
fi

if [ -n "$broken" ]; then
    untried golden
else
    say "running the golden inputs"
    said=$("$from/bundle/$runner" check 2>&1 </dev/null)
    status=$?
    answer=$(printf '%s\n' "$said" | grep '"healthy"' | tail -n 1)
    cosine=$(printf '%s\n' "$answer" | sed -n 's/.*"cosine": *\([0-9.eE+-]*\).*/\1/p')
    answer=${answer:-$(printf '%s\n' "$said" | tail -n 3)}
    if [ "$status" -eq 132 ]; then
        broken=golden
        line golden failed "it uses an instruction that these cores do not have" "compile with another --backend or --target"
    elif [ "$status" -eq 137 ]; then
        broken=golden
        line golden failed "it was killed: memory ran out" "end other programs, add swap, or make the model smaller"
    elif [ "$status" -ne 0 ]; then
        broken=golden
        line golden failed "not healthy: $(clean "${answer:-exit $status}")" "compile the model for this board, and make the kit again"
    elif [ "$golden" -eq 0 ]; then
        line golden 'cannot be told' "it loads, but the bundle has no golden samples to compare with" \
            "compile it again with golden samples"
    else
        golden_ok=yes
        line golden ok "healthy, $golden golden samples${cosine:+, cosine $cosine}"
    fi
fi

figures=null peak_kb=
# $1 is a key of $answer whose value is a number; else null.
number() {
    found=$(printf '%s\n' "$answer" | sed -n "s/.*\"$1\": *\\([0-9.eE+-]*\\).*/\\1/p")
    case $found in
        [0-9]*) printf '%s' "$found" ;;
        *) printf null ;;
    esac
}
if [ -n "$broken" ]; then
    untried measurement
else
    say "measuring for $seconds s"
    said=$("$from/bundle/$runner" bench --seconds "$seconds" 2>&1 </dev/null)
    status=$?
    answer=$(printf '%s\n' "$said" | grep '"ok"' | tail -n 1)
    if [ "$status" -eq 0 ] && [ -n "$answer" ]; then
        n=$(number n) p50=$(number p50_ms) p90=$(number p90_ms) load=$(number load_ms) peak=$(number peak_rss_bytes)
        clock=device what=latency
        [ "$emulated" = no ] || clock=emulated what='emulated wall-clock, not a latency:'
        words="$n inferences: $what p50 $(ms "$p50")"
        [ "$p90" = null ] || words="$words, p90 $(ms "$p90")"
        words="$words, load $(ms "$load")"
        if [ "$peak" != null ]; then
            peak_kb=$(whole "${peak%???}")
            words="$words, peak memory $(size "${peak_kb:-0}")"
        fi
        line measurement ok "$words"
        figures="{\"clock\":\"$clock\",\"n\":$n,\"p50_ms\":$p50,\"p90_ms\":$p90,\"load_ms\":$load,\"peak_rss_bytes\":$peak}"
    elif [ "$status" -eq 2 ] && [ -z "$answer" ]; then
        # A bundle of before there was that word: all that can be done is to do again what it can.
        checks=0 status=0 begun=$(uptime_s) limit=$(whole "${seconds%%.*}")
        while [ "$checks" -eq 0 ] || [ "$(($(uptime_s) - begun))" -lt "${limit:-10}" ]; do
            "$from/bundle/$runner" check >/dev/null 2>&1 </dev/null || { status=$?; break; }
            checks=$((checks + 1))
        done
        if [ "$status" -eq 0 ]; then
            line measurement ok "$checks health checks passed; this bundle's runner cannot measure"
            figures="{\"clock\":\"checks\",\"n\":$checks}"
        else
            broken=measurement
            line measurement failed "check $((checks + 1)) in a row ended with $status" "run this again; look at dmesg"
        fi
    else
        broken=measurement
        answer=${answer:-$(printf '%s\n' "$said" | tail -n 3)}
        line measurement failed "$(clean "${answer:-exit $status}")" "run this again; look at dmesg"
    fi
fi

hot=$(temperature)
[ "${hot_before:-0}" -le "${hot:-0}" ] || hot=$hot_before
if [ -z "$hot" ]; then
    line temperature 'cannot be told' "the board has no sensor for it"
elif [ "$hot" -ge 80000 ]; then
    line temperature failed "$((hot / 1000)) °C; from 80 °C on boards slow down" \
        "let it cool, give it a heat sink, a fan or some air, and run this again"
else
    line temperature ok "$((hot / 1000)) °C"
fi

bits=$(throttled)
if [ -z "$bits" ]; then
    line throttling 'cannot be told' "the board has no sensor for it"
    line voltage 'cannot be told' "the board has no sensor for it"
else
    # In words: of the bits in $1.
    in_words() {
        words=
        [ $(($1 & 0x2)) -eq 0 ] || words="clock capped now"
        [ $(($1 & 0x4)) -eq 0 ] || words="$words${words:+, }throttled now"
        [ $(($1 & 0x8)) -eq 0 ] || words="$words${words:+, }soft temperature limit now"
        [ $(($1 & 0x20000)) -eq 0 ] || words="$words${words:+, }clock was capped"
        [ $(($1 & 0x40000)) -eq 0 ] || words="$words${words:+, }throttling has occurred"
        [ $(($1 & 0x80000)) -eq 0 ] || words="$words${words:+, }soft temperature limit was reached"
        printf '%s' "$words"
    }
    fresh=$(in_words "$((bits & (0xe | ~${throttled_before:-0})))")
    old=$(in_words "$bits")
    if [ -n "$fresh" ]; then
        line throttling failed "$fresh" "let it cool, give it a heat sink, a fan or some air, and run this again; where the voltage is too low, fix that first"
    else
        line throttling ok "${old:+not now; since it was started: }${old:-none}"
    fi
    power="use the power supply that is made for the board and a short cable, and unplug what it feeds; then restart it: the board remembers low voltage until a restart"
    low=
    [ "$((bits & 0x1))" -eq 0 ] || low="under-voltage now"
    [ "$((bits & 0x10000))" -eq 0 ] || low="$low${low:+, }under-voltage has occurred"
    if [ -z "$low" ]; then
        line voltage ok "no under-voltage since it was started"
    else
        line voltage failed "$low" "$power"
    fi
fi

needs_kb=${peak_kb:-$((needs_kib + needs_kib / 1000 * 24))}
if [ -z "$available_kib" ]; then
    line memory 'cannot be told' "the board does not report it"
elif [ "$needs_kb" -gt "$((available_kib + available_kib / 1000 * 24))" ]; then
    line memory failed "$(from_kib "$available_kib") available; the model takes $(size "$needs_kb")" \
        "end other programs here, or make the model smaller: edgedeploy optimize MODEL --recipe weights-int8 -o SMALLER"
else
    line memory ok "$(from_kib "$available_kib") available; the model takes $(size "$needs_kb")"
fi

free=$(free_kib "${HOME:-/}")
if [ -z "$free" ]; then
    line disk 'cannot be told' "the board does not report it"
elif [ "$free" -lt "$size_kib" ]; then
    line disk failed "$(from_kib "$free") free; another release such as this may take $(from_kib "$size_kib")" "free some space"
else
    line disk ok "$(from_kib "$free") free"
fi

now=$(whole "$(date -u +%s)")
date=$(clean "$(date -u +%Y-%m-%dT%H:%M:%S)")
if [ -z "$now" ]; then
    line clock 'cannot be told' "the board does not report its time"
elif [ "$((now + 300))" -lt "$made_at" ]; then
    line clock failed "$date UTC: that is before this kit was made" \
        "set it: timedatectl set-ntp true, or as root: date -u -s 'YYYY-MM-DD hh:mm:ss'"
else
    line clock ok "$date UTC: not before this kit was made"
fi

# --- the verdict

passed=false verdict=FAIL
if [ -z "$failed" ] && [ "$golden_ok" = yes ] && [ "$files_ok" = yes ]; then
    passed=true verdict=PASS
fi
detail="${failed:+failed: $failed}"
[ "$undetermined" -eq 0 ] || detail="$detail${detail:+; }$undetermined of 12 lines not determined"
printf '%s  %s %s on %s%s\n\n%s' "$verdict" "$name" "$id" "$host" "${detail:+ ($detail)}" "$table"
[ -z "$todo" ] || printf '\nwhat to do next\n%s' "$todo"

result="{\"schema\":${schema:-1},\"edgedeploy\":\"$edgedeploy\",\"device\":\"$host\",\"taken_at\":\"$date+00:00\",\
\"passed\":$passed,\"lines\":[$json],\
\"release\":{\"name\":\"$name\",\"id\":\"$id\",\"target\":\"$target\"},\"figures\":$figures}"
file="result-$(printf '%s' "$host" | tr -c 'A-Za-z0-9._-' '-')-$(printf '%s' "$date" | tr -d ':-')Z.json"
kept=
for place in "$here" "${HOME:-}" /var/tmp /tmp /dev/shm; do
    [ -n "$place" ] && [ -d "$place" ] || continue
    # Read back: a full disk may say so late.
    { printf '%s\n' "$result" >"$place/$file"; } 2>/dev/null && [ "$(cat "$place/$file" 2>/dev/null)" = "$result" ] && {
        kept=$place
        break
    }
    rm -f "$place/$file" 2>/dev/null
done
[ -z "$kept" ] || sync
if [ "$kept" = "$here" ]; then
    printf '\nthe result is in %s\n' "$here/$file"
elif [ -n "$kept" ]; then
    printf '\n%s cannot be written, so the result is in %s: take it with you before the board is switched off\n' "$here" "$kept/$file"
else
    printf '\nthe result cannot be written anywhere: write down what stands above\n'
fi
[ -z "$kept" ] || printf 'on the laptop: edgedeploy smoke --read %s\n' "$file"
[ "$passed" = true ]
