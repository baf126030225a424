"""Each rule of the preflight refuses what it is for, names the fact and the way out, and nothing else."""

from __future__ import annotations

import pytest
from msgspec import structs
from support.probed_boards import RPI2, RPI3, RPI4, RPI4_32, RPI5, ZERO, probed, without

from edgedeploy.deploy.preflight import check_target, refusals
from edgedeploy.foundation.errors import DeviceError
from edgedeploy.targets.fit import fit_target
from edgedeploy.targets.load import load_target
from edgedeploy.values.bundle import FileEntry, Manifest, Needs, Runtime
from edgedeploy.values.model import ModelFacts
from edgedeploy.values.probe import Probe

FACTS = ModelFacts(
    format="onnx", sha256="0" * 64, size_bytes=1000, producer="", opset=17, inputs=(), outputs=(), parameters=0,
    macs=None, macs_note="", operators={},
)  # fmt: skip
ONNXRUNTIME = Runtime(backend="onnxruntime", python="3.11", glibc="2.28", packages={})
NATIVE = Runtime(backend="native", python=None, glibc=None, packages={})
BUNDLE = Manifest(
    schema=1, name="model", version="1", target="rpi4", architecture="aarch64", model_file="model.onnx", model=FACTS,
    runtime=ONNXRUNTIME, needs=Needs(page_size_bytes=65536), runner="run", golden_samples=0, source=None, tools={},
    files=(FileEntry(path="model.onnx", size_bytes=1000, sha256="0" * 64),),
)  # fmt: skip


def bundle(**changes: object) -> Manifest:
    return structs.replace(BUNDLE, **changes)


def device(text: str) -> Probe:
    found = probed(text)
    fitting = fit_target(found)
    return structs.replace(found, fit=fitting[1] if fitting else None)


TRIXIE = RPI4.replace("bookworm", "trixie").replace("python 3.11", "python 3.13").replace("2.36", "2.41")
NO_NEON = RPI2.replace(" neon", "").replace(" vfpd32", "").replace("0xc07", "0xc05")
MUSL = without(RPI4, "libc", "loader", "python") + "loader /lib/ld-musl-aarch64.so.1\nlibc musl libc (aarch64)\n"

FITTING = {
    "onnxruntime on a Pi 4": (BUNDLE, RPI4),
    "wheels for pages of 64 KB on a Pi 5": (BUNDLE, RPI5),
    "native without Python": (bundle(runtime=NATIVE), without(RPI4, "python", "libc", "loader")),
    "native with musl": (bundle(runtime=NATIVE), MUSL),
    "armv7 on 32-bit programs": (bundle(architecture="armv7l", runtime=NATIVE), RPI4_32),
    "neon of a 64-bit kernel": (
        bundle(architecture="armv7l", runtime=NATIVE, needs=Needs(cpu_features=("neon", "vfpv4", "idiva"))),
        RPI4_32,
    ),
    "armv6 on armv7": (bundle(architecture="armv6l", runtime=NATIVE), RPI2),
    "armv7 beside 64-bit programs": (
        bundle(architecture="armv7l", runtime=NATIVE),
        RPI4 + "loader /lib/ld-linux-armhf.so.3\n",
    ),
    "a newer glibc": (BUNDLE, RPI4.replace("libc glibc 2.36", "libc glibc 2.100")),
    "asimddp where it is": (bundle(needs=Needs(cpu_features=("asimddp",))), RPI5),
    "little said": (bundle(runtime=NATIVE, needs=Needs(cpu_features=("asimddp",), memory_bytes=1)), "machine aarch64"),
}


@pytest.mark.parametrize("name", FITTING)
def test_what_fits_is_not_refused(name: str) -> None:
    manifest, text = FITTING[name]
    assert refusals(manifest, device(text)) == []


REFUSED = {
    "another architecture": (
        bundle(architecture="x86_64"),
        RPI4,
        "the bundle is for x86_64, and board is aarch64 with 64-bit programs",
        "edgedeploy compile MODEL --target rpi4 -o BUNDLE",
    ),
    "64-bit programs on a 32-bit system": (
        BUNDLE,
        RPI4_32,
        "the bundle is for aarch64, and board is aarch64 with 32-bit programs",
        "edgedeploy compile MODEL --target rpi4-32 -o BUNDLE",
    ),
    "armv7 without a 32-bit userland": (
        bundle(architecture="armv7l", runtime=NATIVE),
        RPI4,
        "the bundle is for armv7l, and board is aarch64 without a 32-bit userland",
        "edgedeploy compile MODEL --target rpi4 -o BUNDLE, or install the 32-bit C library there",
    ),
    "armv7 on armv6": (
        bundle(architecture="armv7l", runtime=NATIVE),
        ZERO,
        "the bundle is for armv7l, and board is armv6l",
        "edgedeploy compile MODEL --target rpi-zero -o BUNDLE",
    ),
    "dot products on a Cortex-A72": (
        bundle(target="rpi5", needs=Needs(cpu_features=("asimd", "asimddp", "asimdhp"))),
        RPI4,
        "the bundle is for cores with asimddp asimdhp, and those of board (Cortex-A72) are without",
        "edgedeploy compile MODEL --target rpi4 -o BUNDLE",
    ),
    "neon on a core without": (
        bundle(architecture="armv7l", runtime=NATIVE, needs=Needs(cpu_features=("neon",))),
        NO_NEON,
        "the bundle is for cores with neon, and those of board (Cortex-A5) are without",
        "edgedeploy compile MODEL --target generic-armv7 -o BUNDLE",
    ),
    "larger pages": (
        bundle(needs=Needs(page_size_bytes=4096)),
        RPI5,
        "the bundle's programs are aligned for pages of 4,096 bytes, and those of board have 16,384",
        "kernel=kernel8.img in config.txt",
    ),
    "another Python": (
        BUNDLE,
        TRIXIE,
        "the bundle's runtime needs Python 3.11, and board has Python 3.13",
        "edgedeploy compile MODEL --target rpi4:trixie -o BUNDLE, or install that Python there",
    ),
    "a Python of 32 bits": (
        BUNDLE,
        RPI4.replace("python 3.11 64", "python 3.11 32"),
        "the bundle's runtime needs Python 3.11 (64 bits), and board has Python 3.11 (32 bits)",
        "install that Python there",
    ),
    "no Python": (
        BUNDLE,
        without(RPI4, "python"),
        "the bundle's runtime needs Python 3.11, and board has no python3",
        "--backend onnxruntime-c or native",
    ),
    "an older glibc": (
        bundle(runtime=structs.replace(ONNXRUNTIME, glibc="2.38")),
        RPI4,
        "the bundle's runtime needs glibc 2.38, and board has glibc 2.36",
        "--backend native",
    ),
    "an older glibc without Python": (
        bundle(runtime=Runtime(backend="onnxruntime-c", python=None, glibc="2.34", packages={})),
        without(RPI4, "python").replace("libc glibc 2.36", "libc glibc 2.31"),
        "the bundle's runtime needs glibc 2.34, and board has glibc 2.31",
        "edgedeploy compile MODEL --target",
    ),
    "musl": (
        bundle(runtime=Runtime(backend="onnxruntime-c", python=None, glibc="2.28", packages={})),
        MUSL,
        "the bundle's runtime needs glibc 2.28, and board has another C library, musl",
        "--backend native",
    ),
    "no C library": (
        bundle(runtime=Runtime(backend="onnxruntime-c", python=None, glibc="2.28", packages={})),
        without(RPI4, "libc", "loader", "python"),
        "the bundle's runtime needs glibc 2.28, and board has none that programs share",
        "--backend native",
    ),
    "less memory than was measured": (
        bundle(needs=Needs(memory_bytes=1 << 30)),
        RPI3,
        "1,073,741,824 bytes of memory were measured, and board has 686,118,912 available, swap included",
        "edgedeploy optimize",
    ),
    "less memory than the model has": (
        bundle(files=(FileEntry(path="model.onnx", size_bytes=1 << 30, sha256="0" * 64),)),
        RPI3,
        "the model alone has 1,073,741,824 bytes, and board has 686,118,912 available, swap included",
        "edgedeploy optimize",
    ),
}


@pytest.mark.parametrize("name", REFUSED)
def test_what_does_not_fit_is_refused_with_the_fact_and_the_way_out(name: str) -> None:
    manifest, text, what, hint = REFUSED[name]
    refused = refusals(manifest, device(text))
    assert [each.what for each in refused] == [what]
    assert hint in refused[0].hint


def test_a_peak_that_was_measured_elsewhere_counts() -> None:
    assert refusals(BUNDLE, device(RPI3), peak_memory_bytes=500_000_000) == []
    assert "700,000,000 bytes" in refusals(BUNDLE, device(RPI3), peak_memory_bytes=700_000_000)[0].what


def test_everything_that_is_wrong_is_told_at_once() -> None:
    manifest = bundle(needs=Needs(memory_bytes=1 << 40, page_size_bytes=4096), runtime=ONNXRUNTIME)
    refused = refusals(manifest, device(without(RPI5, "python")))
    assert {each.kind for each in refused} == {"python", "page_size", "memory"}


@pytest.mark.parametrize(
    ("target", "text", "words"),
    [
        ("rpi4", RPI4, None),
        ("generic-aarch64", RPI4, None),
        ("rpi3", RPI4, None),
        ("rpi5", RPI4, "target rpi5 is for cores with aes .*asimddp.*, and those of board"),
        ("rpi4-32", RPI4, "target rpi4-32 is for armv7l, and board is aarch64 without a 32-bit userland"),
        ("rpi4", RPI2, "target rpi4 is for aarch64, and board is armv7l"),
    ],
)
def test_a_target_is_held_against_the_device_before_there_is_a_bundle(
    target: str, text: str, words: str | None
) -> None:
    if words is None:
        check_target(load_target(target), device(text))
        return
    with pytest.raises(DeviceError, match=words) as caught:
        check_target(load_target(target), device(text))
    assert "edgedeploy compile MODEL --target" in caught.value.hint


def test_a_target_whose_backends_all_need_python_is_refused_without_it() -> None:
    target = structs.replace(load_target("rpi4"), backends=("onnxruntime", "tflite"))
    with pytest.raises(DeviceError, match=r"target rpi4 needs Python 3\.11, and board has no python3"):
        check_target(target, device(without(RPI4, "python")))
    check_target(load_target("rpi4"), device(without(RPI4, "python")))
