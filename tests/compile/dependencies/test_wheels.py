"""The wheels here are made on the spot, so nothing is fetched; uv itself is real."""

from __future__ import annotations

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

from edgedeploy.compile.dependencies.wheels import Layout, More, lay_out_wheels
from edgedeploy.foundation.errors import HostError, IntegrityError, UnsupportedError
from edgedeploy.foundation.files import cache_folder
from edgedeploy.foundation.progress import SILENT, Progress

pytestmark = pytest.mark.slow

CONTENT = {
    "tiny/__init__.py": b"VALUE = 1\n",
    "tiny/core.so": b"\x7fELF",
    "tiny/core.pyi": b"",
    "tiny/tests/test_core.py": b"",
    "tiny/tests/LICENSE": b"of the tests' data",
    "tiny/tools/convert.py": b"",
    "tiny/include/tiny.h": b"",
    "tiny-1.0.dist-info/METADATA": b"Metadata-Version: 2.1\nName: tiny\nVersion: 1.0\n",
    "tiny-1.0.dist-info/licenses/LICENSE.txt": b"",
    "tiny-1.0.dist-info/entry_points.txt": b"[console_scripts]\ntiny = tiny:main\n",
}


def make_lock(folder: Path, *, tag: str = "cp311-cp311-manylinux_2_28_aarch64", wrong_hash: bool = False) -> Path:
    wheel = folder / f"tiny-1.0-{tag}.whl"
    with zipfile.ZipFile(wheel, "w") as archive:
        for name, content in CONTENT.items():
            archive.writestr(name, content)
        archive.writestr("tiny-1.0.dist-info/WHEEL", f"Wheel-Version: 1.0\nRoot-Is-Purelib: false\nTag: {tag}\n")
        archive.writestr("tiny-1.0.dist-info/RECORD", "")
    digest = "0" * 64 if wrong_hash else hashlib.sha256(wheel.read_bytes()).hexdigest()
    lock = folder / "tiny.lock"
    lock.write_text(f"--no-index\n--find-links {folder}\ntiny==1.0 --hash=sha256:{digest}\n")
    return lock


def lay_out(
    lock: Path,
    folder: Path,
    *,
    architecture: str = "aarch64",
    glibc: str = "2.36",
    python: str = "3.11",
    more: More | None = None,
) -> Layout:
    return lay_out_wheels(
        lock,
        folder,
        architecture=architecture,
        python=python,
        glibc=glibc,
        leave_out=("tiny/tools/*",),
        progress=SILENT,
        more=more,
    )


def tree(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def lock(tmp_path: Path) -> Path:
    return make_lock(tmp_path)


def test_what_inference_needs_is_laid_out_and_licences_stay(tmp_path, lock):
    layout = lay_out(lock, tmp_path / "out")
    assert sorted(tree(tmp_path / "out")) == [
        "tiny-1.0.dist-info/METADATA",
        "tiny-1.0.dist-info/WHEEL",
        "tiny-1.0.dist-info/entry_points.txt",
        "tiny-1.0.dist-info/licenses/LICENSE.txt",
        "tiny/__init__.py",
        "tiny/core.so",
        "tiny/tests/LICENSE",
    ]
    assert (layout.packages, layout.glibc) == ({"tiny": "1.0"}, "2.28")
    assert not any(path.is_dir() and not any(path.iterdir()) for path in (tmp_path / "out").rglob("*"))


def test_a_second_time_it_comes_from_the_cache_with_the_same_bytes(tmp_path, lock):
    first = lay_out(lock, tmp_path / "one")
    (tmp_path / "tiny-1.0-cp311-cp311-manylinux_2_28_aarch64.whl").unlink()
    assert lay_out(lock, tmp_path / "two") == first
    assert tree(tmp_path / "one") == tree(tmp_path / "two")


def test_a_layout_that_was_damaged_in_the_cache_is_made_again(tmp_path, lock):
    lay_out(lock, tmp_path / "one")
    for damage in (lambda file: file.write_bytes(b"VALUE = 2\n"), Path.unlink):
        (file,) = (cache_folder() / "runtimes").glob("*/files/tiny/__init__.py")
        damage(file)
        again = tmp_path / damage.__name__
        lay_out(lock, again)
        assert tree(again) == tree(tmp_path / "one")


def test_an_older_glibc_takes_wheels_that_run_on_it(tmp_path):
    lock = make_lock(tmp_path)
    lay_out(lock, tmp_path / "one", glibc="2.30")  # uv has no platform for it: 2.28 is taken
    with pytest.raises(UnsupportedError, match="no wheels for aarch64-manylinux_2_17"):
        lay_out(lock, tmp_path / "two", glibc="2.27")
    with pytest.raises(UnsupportedError, match=r"glibc 2\.5"):
        lay_out(lock, tmp_path / "three", glibc="2.5")


def test_a_python_without_wheels_is_refused(tmp_path, lock):
    with pytest.raises(UnsupportedError, match=r"no wheels for aarch64-manylinux_2_36, Python 3\.13"):
        lay_out(lock, tmp_path / "out", python="3.13")
    assert not (tmp_path / "out").exists()


def test_a_wheel_with_another_hash_is_refused(tmp_path):
    with pytest.raises(IntegrityError, match="not the ones that were locked"):
        lay_out(make_lock(tmp_path, wrong_hash=True), tmp_path / "out")
    assert not list((cache_folder() / "runtimes").glob("*/"))


def test_32_bit_arm_gets_the_same_from_pip(tmp_path):
    tag = "cp311-cp311-manylinux_2_34_armv7l"
    lock = make_lock(tmp_path, tag=tag)
    layout = lay_out(lock, tmp_path / "out", architecture="armv7l")
    assert (layout.packages, layout.glibc) == ({"tiny": "1.0"}, "2.34")
    assert sorted(tree(tmp_path / "out")) == [
        "tiny-1.0.dist-info/METADATA",
        "tiny-1.0.dist-info/WHEEL",
        "tiny-1.0.dist-info/entry_points.txt",
        "tiny-1.0.dist-info/licenses/LICENSE.txt",
        "tiny/__init__.py",
        "tiny/core.so",
        "tiny/tests/LICENSE",
    ]
    with pytest.raises(UnsupportedError, match="no wheels for armv7l-manylinux_2_31"):
        lay_out(lock, tmp_path / "two", architecture="armv7l", glibc="2.31")
    with pytest.raises(IntegrityError, match="not the ones that were locked"):
        lay_out(make_lock(tmp_path, tag=tag, wrong_hash=True), tmp_path / "three", architecture="armv7l")


def test_what_has_no_wheel_is_laid_out_beside_and_kept_with_them(tmp_path, lock):
    made: list[Path] = []

    def lay_out_other(folder: Path, progress: Progress) -> None:
        made.append(folder)
        (folder / "other-2.0.dist-info").mkdir()
        (folder / "other-2.0.dist-info/WHEEL").write_text("Tag: cp311-cp311-manylinux_2_36_aarch64\n")
        (folder / "other.py").write_text("VALUE = 2\n")

    more = More(key="other 2.0", lay_out=lay_out_other)
    for name in ("one", "two"):
        layout = lay_out(lock, tmp_path / name, more=more)
        assert (layout.packages, layout.glibc) == ({"other": "2.0", "tiny": "1.0"}, "2.36")
        assert (tmp_path / name / "other.py").is_file()
    assert len(made) == 1
    lay_out(lock, tmp_path / "three", more=More(key="other 2.1", lay_out=lay_out_other))
    assert len(made) == 2
    lay_out(lock, tmp_path / "four")
    assert not (tmp_path / "four/other.py").exists()


def test_without_network_it_is_said(tmp_path, monkeypatch):
    lock = tmp_path / "some.lock"
    lock.write_text(f"numpy==2.4.6 --hash=sha256:{'0' * 64}\n")
    monkeypatch.setenv("UV_OFFLINE", "1")
    monkeypatch.setenv("UV_CACHE_DIR", str(tmp_path / "cache of uv"))
    with pytest.raises(HostError, match="cannot be fetched") as caught:
        lay_out(lock, tmp_path / "out")
    assert "network" in caught.value.hint


def test_without_uv_it_is_said(tmp_path, lock, monkeypatch):
    import uv

    monkeypatch.setattr(uv, "find_uv_bin", lambda: str(tmp_path / "no-uv"))
    with pytest.raises(HostError, match="uv cannot be started"):
        lay_out(lock, tmp_path / "out")


def test_two_at_once_build_it_once(tmp_path, lock):
    """Two processes begin with an empty cache: both end with the same files."""
    script = (
        "import sys; from pathlib import Path; sys.path.insert(0, sys.argv[1])\n"
        "from test_wheels import lay_out; lay_out(Path(sys.argv[2]), Path(sys.argv[3]))"
    )
    argv = [sys.executable, "-c", script, str(Path(__file__).parent), str(lock)]
    running = [subprocess.Popen([*argv, str(tmp_path / name)]) for name in ("one", "two")]
    assert [process.wait(60) for process in running] == [0, 0]
    assert tree(tmp_path / "one") == tree(tmp_path / "two") != {}
    assert len(list((cache_folder() / "runtimes").glob("*/layout.json"))) == 1


def test_a_cache_that_cannot_be_written_is_said(tmp_path, lock, monkeypatch):
    (tmp_path / "file").write_bytes(b"")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    with pytest.raises(HostError, match="cannot be written"):
        lay_out(lock, tmp_path / "out")
