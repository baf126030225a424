"""What programs need, read from a real one of this machine, from such with a few bytes changed, and made-up ones."""

from __future__ import annotations

import os
import struct
import sys
from pathlib import Path

import numpy._core._multiarray_umath
import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import structs

from edgedeploy.compile.needs import ProgramNeeds, find_needs, with_needs
from edgedeploy.compile.protocol import BuildResult
from edgedeploy.foundation.errors import IntegrityError, UnsupportedError
from edgedeploy.targets.load import load_target
from edgedeploy.values.bundle import Needs, Runtime

HERE = load_target("x86-64")
LIBRARY = Path(numpy._core._multiarray_umath.__file__)

pytestmark = pytest.mark.skipif(os.uname().machine != "x86_64", reason="the library that is changed is for x86-64")


def built(**needs: object) -> BuildResult:
    runtime = Runtime(backend="onnxruntime", python="3.11", glibc="2.17", packages={})
    return BuildResult(runtime=runtime, model_file="model.onnx", runner="run", needs=Needs(**needs))


def with_page_size(content: bytes, size_bytes: int) -> bytes:
    """The alignment of the first segment that is loaded."""
    changed = bytearray(content)
    (at,) = struct.unpack_from("<Q", content, 32)
    while struct.unpack_from("<I", content, at) != (1,):
        at += 56
    struct.pack_into("<Q", changed, at + 48, size_bytes)
    return bytes(changed)


def arm_program(*attributes: tuple[int, int]) -> bytes:
    """A header, names of sections, and what the tools say of the core (ELF for the Arm architecture, 5.3.6)."""
    names = b"\0.shstrtab\0.ARM.attributes\0"
    tags = b"".join(bytes(pair) for pair in attributes)
    of_file = b"\x01" + struct.pack("<I", 5 + len(tags)) + tags
    aeabi = b"aeabi\0" + of_file
    content = b"A" + struct.pack("<I", 4 + len(aeabi)) + aeabi
    body = 52
    sections = [
        (0, 0, 0, 0, 0, 0, 0, 0, 0, 0),
        (1, 3, 0, 0, body, len(names), 0, 0, 1, 0),
        (11, 0x70000003, 0, 0, body + len(names), len(content), 0, 0, 1, 0),
    ]
    table = body + len(names) + len(content)
    identity = b"\x7fELF" + bytes([1, 1, 1]) + bytes(9)
    header = identity + struct.pack("<HHIIIIIHHHHHH", 2, 40, 1, 0, 0, table, 0x5000400, 52, 32, 0, 40, 3, 1)
    return header + names + content + b"".join(struct.pack("<10I", *section) for section in sections)


def test_of_a_real_library(tmp_path: Path) -> None:
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep/library.so").write_bytes(LIBRARY.read_bytes())
    (tmp_path / "model.onnx").write_bytes(b"no program")
    found = find_needs(tmp_path, "x86_64")
    # manylinux_2_27 or newer, as its wheel says; what it really asks for is not newer than this machine.
    assert found.glibc is not None and (2, 14) <= tuple(map(int, found.glibc.split("."))) <= (2, 40)
    assert found.page_size_bytes == 4096
    assert "avx2" not in found.cpu_features
    assert "libstdc++.so.6" in found.shared_libraries and "libc.so.6" not in found.shared_libraries


def test_the_most_demanding_file_decides(tmp_path: Path) -> None:
    content = LIBRARY.read_bytes()
    (tmp_path / "a.so").write_bytes(content)
    (tmp_path / "b.so").write_bytes(with_page_size(content.replace(b"GLIBC_2.14\0", b"GLIBC_2.99\0"), 1 << 16))
    found = find_needs(tmp_path, "x86_64")
    assert (found.glibc, found.page_size_bytes) == ("2.99", 4096)
    (tmp_path / "b.so").write_bytes(with_page_size(content, 1 << 9))
    assert find_needs(tmp_path, "x86_64").page_size_bytes == 512


def test_a_library_that_lies_in_the_bundle_is_not_asked_for(tmp_path: Path) -> None:
    (tmp_path / "a.so").write_bytes(LIBRARY.read_bytes())
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib/libstdc++.so.6").write_bytes(LIBRARY.read_bytes())
    assert "libstdc++.so.6" not in find_needs(tmp_path, "x86_64").shared_libraries
    (tmp_path / "a.so").write_bytes(LIBRARY.read_bytes().replace(b"libstdc++.so.6\0", b"../../bin/evil\0"))
    with pytest.raises(IntegrityError, match=r"a\.so begins like a program") as caught:
        find_needs(tmp_path, "x86_64")
    assert "../../bin/evil" in caught.value.why


def test_no_program_needs_nothing(tmp_path: Path) -> None:
    (tmp_path / "run").write_text("#!/bin/sh\n")
    (tmp_path / "link").symlink_to(LIBRARY)
    assert find_needs(tmp_path, "armv6l") == ProgramNeeds()
    assert with_needs(built(), tmp_path, HERE) == built()


@pytest.mark.parametrize("architecture", ["aarch64", "armv7l"])
def test_a_program_for_another_machine_is_refused(tmp_path: Path, architecture: str) -> None:
    (tmp_path / "library.so").write_bytes(LIBRARY.read_bytes())
    with pytest.raises(UnsupportedError, match=rf"library\.so is a program for another machine than {architecture}"):
        find_needs(tmp_path, architecture)


def test_a_newer_c_library_than_the_targets_is_refused(tmp_path: Path) -> None:
    (tmp_path / "library.so").write_bytes(LIBRARY.read_bytes().replace(b"GLIBC_2.14\0", b"GLIBC_2.99\0"))
    with pytest.raises(UnsupportedError, match=r"onnxruntime needs glibc 2\.99, and Debian 12 \(bookworm\) has 2\.36"):
        with_needs(built(), tmp_path, HERE)


def test_larger_pages_than_it_is_aligned_for_are_refused(tmp_path: Path) -> None:
    (tmp_path / "library.so").write_bytes(LIBRARY.read_bytes())
    target = structs.replace(HERE, os=structs.replace(HERE.os, page_size_bytes=16384))
    with pytest.raises(UnsupportedError, match=r"aligned for pages of 4,096 bytes, and .* has pages of 16,384"):
        with_needs(built(), tmp_path, target)


def test_what_the_backend_says_stays(tmp_path: Path) -> None:
    (tmp_path / "library.so").write_bytes(with_page_size(LIBRARY.read_bytes(), 1 << 16))
    result = with_needs(built(cpu_features=("avx2",), page_size_bytes=8192, memory_bytes=5), tmp_path, HERE)
    assert structs.replace(result.needs, shared_libraries=()) == Needs(
        cpu_features=("avx2",), page_size_bytes=4096, memory_bytes=5
    )
    assert result.runtime == structs.replace(built().runtime, glibc=find_needs(tmp_path, "x86_64").glibc)


@pytest.mark.parametrize(
    ("attributes", "architecture", "features"),
    [
        # Tag_CPU_arch 6 is 6: v6, 10: v7; Tag_FP_arch 10 is 2: VFPv2, 5: VFPv4; Tag_Advanced_SIMD_arch 12.
        ([(6, 6), (10, 2)], "armv6l", ()),
        ([(6, 10), (10, 3)], "armv7l", ()),
        ([(6, 10), (10, 5), (12, 2)], "armv7l", ("neon", "vfpv4")),
        ([], "armv7l", ()),
    ],
)
def test_what_32_bit_programs_say_of_the_core(tmp_path: Path, attributes, architecture: str, features) -> None:
    (tmp_path / "program").write_bytes(arm_program(*attributes))
    assert find_needs(tmp_path, architecture).cpu_features == features


def test_a_program_for_armv7_is_refused_on_armv6(tmp_path: Path) -> None:
    (tmp_path / "program").write_bytes(arm_program((6, 10)))
    with pytest.raises(UnsupportedError, match="program is a program for a newer Arm than armv6l"):
        find_needs(tmp_path, "armv6l")


_SAMPLE = Path(sys.executable).resolve().read_bytes()[:4096]


@given(st.binary(max_size=200), st.integers(0, 4000))
def test_a_damaged_program_is_told_and_never_a_traceback(tmp_path_factory, noise: bytes, at: int) -> None:
    folder = tmp_path_factory.mktemp("damaged")
    (folder / "program").write_bytes(b"\x7fELF" + (_SAMPLE[:at] + noise + _SAMPLE[at + len(noise) :])[4:])
    try:
        find_needs(folder, "x86_64")
    except (IntegrityError, UnsupportedError) as error:
        assert "program" in error.what
