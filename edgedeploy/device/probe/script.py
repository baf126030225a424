"""The script that asks a device what it is. It changes nothing there.

A POSIX shell and uname are enough for it to say something; with what busybox has, it says all. Its arguments are the
names under which a Python is looked for.
"""

from __future__ import annotations

from edgedeploy.device.probe.machine_kind import SCRIPT as MACHINE_KIND

SCRIPT = (
    """
LC_ALL=C
export LC_ALL

# Standard input, each line with a word before it.
lines() {
    count=0
    while [ $count -lt 64 ] && { IFS= read -r line || [ -n "$line" ]; }; do
        printf '%s %s\\n' "$1" "$line"
        count=$((count + 1))
    done
}
# Says the first line of a file, without starting a program for it.
first() {
    { IFS= read -r line || [ -n "$line" ]; } 2>/dev/null <"$1" && printf '%s' "$line"
}
bytes() {
    od -An -v -tx1 -N "$2" "$1" || hexdump -v -n "$2" -e '1/1 "%02x "' "$1"
}

uname -m | lines machine
uname -s | lines kernel
uname -r | lines kernel
{
    # A device tree ends its words with a zero.
    tr -d '\\000' </proc/device-tree/model || tr -d '\\000' </sys/firmware/devicetree/base/model ||
        cat /sys/class/dmi/id/product_name
} 2>/dev/null | lines board
for file in /etc/os-release /usr/lib/os-release; do
    if [ -r "$file" ]; then
        grep -E '^(PRETTY_NAME|ID|VERSION_ID|VERSION_CODENAME)=' "$file" | lines system
        break
    fi
done 2>/dev/null

# The beginning of the program that reads this: its machine and the size of its addresses.
{ bytes "/proc/$$/exe" 52 || bytes /bin/sh 52; } 2>/dev/null | lines shell
bytes /proc/self/auxv 512 2>/dev/null | lines auxv
getconf PAGESIZE 2>/dev/null | lines page

facts=$(grep -E '^(model name|Features|flags|CPU implementer|CPU part|Model|Hardware)' /proc/cpuinfo 2>/dev/null)
if command -v sort >/dev/null 2>&1; then
    printf '%s\\n' "$facts" | sort -u | lines cpu
else
    printf '%s\\n' "$facts" | lines cpu
fi
first /sys/devices/system/cpu/online | lines online
grep -c '^processor' /proc/cpuinfo 2>/dev/null | lines processors
for policy in /sys/devices/system/cpu/cpufreq/policy*; do
    [ -d "$policy" ] || continue
    printf 'clock %s %s %s\\n' "$(first "$policy/cpuinfo_max_freq")" "$(first "$policy/scaling_cur_freq")" \\
        "$(first "$policy/scaling_governor")"
done

grep -E '^(MemTotal|MemAvailable|SwapTotal|SwapFree):' /proc/meminfo 2>/dev/null | lines memory
(
    cd .edgedeploy 2>/dev/null
    df -Pk . 2>/dev/null | tail -n 1 | lines disk
)

# The C library: there may be no getconf and no ldd, but who loads programs says what it is.
loaders=
for loader in /lib/ld-linux-aarch64.so.1 /lib/ld-linux-armhf.so.3 /lib64/ld-linux-x86-64.so.2 /lib/ld-musl-*.so.1; do
    [ -e "$loader" ] || continue
    printf 'loader %s\\n' "$loader"
    loaders="$loaders $loader"
done
told=$(getconf GNU_LIBC_VERSION 2>/dev/null) || told=$(ldd --version 2>&1 </dev/null | head -n 2)
case $told in
    *[0-9].[0-9]*) loaders= ;;
esac
printf '%s\\n' "$told" | lines libc
for loader in $loaders; do
    case $loader in
        *musl*) "$loader" 2>&1 </dev/null | head -n 2 | lines libc ;;
        *)
            for library in /lib/*/libc.so.6 /lib/libc.so.6 /lib64/libc.so.6 /usr/lib/libc.so.6; do
                [ -e "$library" ] || continue
                "$loader" "$library" 2>/dev/null </dev/null | head -n 1 | lines libc
                readlink -f "$library" 2>/dev/null | lines libc
            done
            ;;
    esac
done

seen=
for python in "$@"; do
    path=$(command -v "$python" 2>/dev/null) || continue
    path=$(readlink -f "$path" 2>/dev/null || printf '%s' "$path")
    case "$seen" in *" $path "*) continue ;; esac
    seen="$seen $path "
    "$python" -I -S -c '
import os, sys
try:
    libc = os.confstr("CS_GNU_LIBC_VERSION")
except (OSError, ValueError):
    libc = None
print("%d.%d" % sys.version_info[:2], 64 if sys.maxsize > 2**32 else 32, libc or "another")
' 2>/dev/null </dev/null | lines python
done

for zone in /sys/class/thermal/thermal_zone*; do
    [ -d "$zone" ] || continue
    printf 'thermal %s %s\\n' "$(first "$zone/temp")" "$(first "$zone/type")"
done
{ vcgencmd get_throttled || first /sys/devices/platform/soc/soc:firmware/get_throttled; } 2>/dev/null </dev/null |
    lines throttled
"""
    + MACHINE_KIND
    + """
echo end
"""
)
