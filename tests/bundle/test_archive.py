"""A bundle as one file: what is written, and what is refused."""

from __future__ import annotations

import hashlib
import io
import shutil
import subprocess
import tarfile
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from edgedeploy.bundle.archive import offsets, write_edge_file
from edgedeploy.bundle.build import encode_manifest, open_bundle
from edgedeploy.foundation.errors import EdgedeployError, IntegrityError, InvalidFileError, UnsupportedError
from edgedeploy.values.bundle import MANIFEST_NAME, Bundle, FileEntry

FILES = {
    "golden/0000.npz": bytes(range(256)) * 5,
    "runtime/empty.py": b"",
    "runtime/exactly": b"x" * 512,
    f"runtime/{'long/' * 30}ä name.py": b"deep",
    f"{'n' * 100}": b"a name that just fits",
}


@pytest.fixture
def folder(make_bundle) -> Bundle:
    return make_bundle(files=FILES)


@pytest.fixture
def edge(folder: Bundle, tmp_path: Path) -> Path:
    return packed(folder, tmp_path / "model.edge")


def packed(bundle: Bundle, path: Path) -> Path:
    write_edge_file(bundle.path, bundle.manifest, (bundle.path / MANIFEST_NAME).read_bytes(), path)
    return path


def test_it_is_the_same_bundle(folder, edge):
    opened = open_bundle(edge)
    assert opened == msgspec.structs.replace(folder, path=edge)
    assert open_bundle(edge, verify=False) == opened


def test_the_same_bundle_gives_the_same_bytes_wherever_it_lies(folder, edge, tmp_path):
    elsewhere = tmp_path / "elsewhere" / "copy"
    shutil.copytree(folder.path, elsewhere)
    for path in elsewhere.rglob("*"):
        path.chmod(0o700)
    again = packed(msgspec.structs.replace(folder, path=elsewhere), tmp_path / "again.edge")
    assert again.read_bytes() == edge.read_bytes()


def header(name: bytes, mode: bytes, size_bytes: int, kind: bytes) -> bytes:
    """As GNU tar writes one, by the offsets in its manual: name, mode, owner, group, size, time, checksum, type."""
    before = name[:100].ljust(100, b"\0") + mode + 2 * b"0000000\0" + b"%011o\0" % size_bytes + b"00000000000\0"
    after = kind + bytes(100) + b"ustar  \0" + bytes(247)
    return before + b"%06o\0 " % (sum(before) + sum(after) + 8 * ord(" ")) + after


def test_every_byte_is_fixed_by_the_manifest(folder, edge):
    """Whichever Python has written it: other bytes would be another format."""
    written = io.BytesIO()
    files = [("manifest.json", False), *((entry.path, entry.executable) for entry in folder.manifest.files)]
    for path, executable in files:
        content, name = (folder.path / path).read_bytes(), path.encode()
        if len(name) > 100:
            long_name = name + b"\0"
            written.write(header(b"././@LongLink", b"0000000\0", len(long_name), b"L"))
            written.write(long_name + bytes(-len(long_name) % 512))
        written.write(header(name, b"0000755\0" if executable else b"0000644\0", len(content), b"0"))
        written.write(content + bytes(-len(content) % 512))
    written.write(bytes(1024))
    assert edge.read_bytes() == written.getvalue()


def test_tar_unpacks_it(folder, edge, tmp_path):
    (tmp_path / "unpacked").mkdir()
    subprocess.run(["tar", "-xf", edge, "-C", tmp_path / "unpacked"], check=True)
    assert open_bundle(tmp_path / "unpacked").sha256 == folder.sha256


def test_contents_lie_where_it_is_said(folder, edge):
    content = edge.read_bytes()
    manifest_bytes = len((folder.path / MANIFEST_NAME).read_bytes())
    begins = offsets(folder.manifest, manifest_bytes)
    assert set(begins) == {MANIFEST_NAME, *(entry.path for entry in folder.manifest.files)}
    for entry in folder.manifest.files:
        found = content[begins[entry.path] : begins[entry.path] + entry.size_bytes]
        assert hashlib.sha256(found).hexdigest() == entry.sha256


def test_a_folder_that_changed_is_not_packed(folder, tmp_path):
    (folder.path / "model.onnx").write_bytes(b"other")
    with pytest.raises(IntegrityError, match="changed while it was packed"):
        packed(folder, tmp_path / "model.edge")
    huge = msgspec.structs.replace(folder.manifest.files[0], size_bytes=8**11)
    manifest = msgspec.structs.replace(folder.manifest, files=(huge,))
    with pytest.raises(UnsupportedError, match="too large"):
        packed(msgspec.structs.replace(folder, manifest=manifest), tmp_path / "model.edge")
    assert not list(tmp_path.glob("*.edge*"))


# -- archives by strangers. Each maker takes a sound archive's members and gives the bytes of another.

Members = list[tuple[tarfile.TarInfo, bytes]]


def members(edge: Path) -> Members:
    with tarfile.open(edge) as archive:
        found = []
        for info in archive.getmembers():
            content = archive.extractfile(info)
            found.append((info, content.read() if content else b""))
        return found


def archive(found: Members, *, end: bytes = bytes(1024), form: int = tarfile.GNU_FORMAT) -> bytes:
    blocks = [info.tobuf(form) + content + bytes(-len(content) % 512) for info, content in found]
    return b"".join(blocks) + end


def changed(position: int, **attributes: object) -> Callable[[Members], bytes]:
    def make(found: Members) -> bytes:
        for name, value in attributes.items():
            setattr(found[position][0], name, value)
        return archive(found)

    return make


def added(name: str, **attributes: object) -> Callable[[Members], bytes]:
    def make(found: Members) -> bytes:
        info = tarfile.TarInfo(name)
        for key, value in attributes.items():
            setattr(info, key, value)
        return archive([*found, (info, b"")])

    return make


def other_content(found: Members) -> bytes:
    info, content = found[1]
    found[1] = (info, bytes(len(content)))
    return archive(found)


def shuffled(found: Members) -> bytes:
    return archive([found[0], *reversed(found[1:])])


def twice(found: Members) -> bytes:
    return archive([*found, found[-1]])


def one_missing(found: Members) -> bytes:
    return archive(found[:-1])


def words_in_the_padding(found: Members) -> bytes:
    content = bytearray(archive(found))
    content[-1025] = 1
    return bytes(content)


HOSTILE = {
    "a link in a file's place": changed(2, type=tarfile.SYMTYPE, linkname="/etc/passwd", size=0),
    "a hard link": changed(2, type=tarfile.LNKTYPE, linkname="manifest.json", size=0),
    "a device": changed(2, type=tarfile.CHRTYPE),
    "a folder": changed(2, type=tarfile.DIRTYPE),
    "a name that leads out": changed(1, name="../../evil"),
    "an absolute name": changed(1, name="/etc/cron.d/evil"),
    "another name": changed(1, name="golden/0001.npz"),
    "set user ID": changed(-1, mode=0o4755),
    "an owner": changed(-1, uid=1000),
    "a time": changed(-1, mtime=1),
    "another size": changed(1, size=10**9),
    "a link behind the files": added("evil", type=tarfile.SYMTYPE, linkname="/"),
    "a file behind the files": added("evil"),
    "other content": other_content,
    "something between the files": words_in_the_padding,
    "another order": shuffled,
    "a file twice": twice,
    "a file missing": one_missing,
    "pax headers": lambda found: archive(found, form=tarfile.PAX_FORMAT),
    "no end": lambda found: archive(found, end=b""),
    "half an end": lambda found: archive(found, end=bytes(512)),
    "more behind the end": lambda found: archive(found, end=bytes(1024) + b"#!/bin/sh\n"),
    "a longer end": lambda found: archive(found, end=bytes(10240)),
    "a second archive behind the end": lambda found: archive(found) + archive(found),
    "no manifest first": lambda found: archive(found[1:]),
    "a manifest under another name": changed(0, name="manifest.JSON"),
    "a manifest without end": changed(0, size=8**11 - 1),
    "compressed": lambda found: __import__("gzip").compress(archive(found)),
    "nothing": lambda found: b"",
    "one block": lambda found: archive(found)[:512],
    "zeros": lambda found: bytes(4096),
}  # fmt: skip


@pytest.mark.parametrize("make", HOSTILE.values(), ids=HOSTILE.keys())
def test_other_archives_are_refused(edge, tmp_path, make):
    content = make(members(edge))
    assert content != edge.read_bytes()
    path = tmp_path / "hostile.edge"
    path.write_bytes(content)
    with pytest.raises((IntegrityError, InvalidFileError)):
        open_bundle(path)


def test_a_manifest_that_lies_about_sizes_takes_no_memory(folder, tmp_path):
    for size_bytes in (8**11, 10**30):
        huge = FileEntry(path="zzz", size_bytes=size_bytes, sha256="0" * 64)
        manifest = encode_manifest(msgspec.structs.replace(folder.manifest, files=(*folder.manifest.files, huge)))
        info = tarfile.TarInfo(MANIFEST_NAME)
        info.size = len(manifest)
        path = tmp_path / "lies.edge"
        path.write_bytes(archive([(info, manifest)]))
        with pytest.raises(IntegrityError, match="not whole"):
            open_bundle(path, verify=False)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=150)
@given(data=st.data())
def test_one_other_byte_anywhere_is_refused(edge, tmp_path, data):
    sound = edge.read_bytes()
    place = data.draw(st.integers(0, len(sound) - 1))
    byte = data.draw(st.integers(1, 255))
    path = tmp_path / "touched.edge"
    path.write_bytes(sound[:place] + bytes([sound[place] ^ byte]) + sound[place + 1 :])
    # In the manifest it may be sound by chance, and then it is another bundle: that is what its SHA-256 tells.
    try:
        opened = open_bundle(path)
    except EdgedeployError:
        return
    assert opened.sha256 != open_bundle(edge, verify=False).sha256


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_part_of_it_is_refused(edge, tmp_path, data):
    sound = edge.read_bytes()
    path = tmp_path / "part.edge"
    path.write_bytes(sound[: data.draw(st.integers(0, len(sound) - 1))])
    for verify in (True, False):
        with pytest.raises((IntegrityError, InvalidFileError)):
            open_bundle(path, verify=verify)


@given(st.binary(max_size=2000))
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
def test_bytes_are_no_bundle(tmp_path, content):
    path = tmp_path / "bytes.edge"
    path.write_bytes(content)
    with pytest.raises(InvalidFileError):
        open_bundle(path)
