"""What Python makes of a release's sources: derived anew after these were verified, sealed, and nothing else is run."""

from __future__ import annotations

import importlib.util
import marshal
import os
import platform
import subprocess
import sys
from pathlib import Path

import msgspec
import pytest

from edgedeploy.compile.python_runner import run_script
from edgedeploy.deploy.push import push
from edgedeploy.deploy.releases import rollback
from edgedeploy.deploy.status import status
from edgedeploy.deploy.verification import broken_files
from edgedeploy.device.local import LocalConnection
from edgedeploy.targets.load import load_target
from edgedeploy.values.bundle import Bundle, Runtime

pytestmark = pytest.mark.slow

_PYTHON = f"{sys.version_info[0]}.{sys.version_info[1]}"
_SOURCES = {
    "runner.py": b"import sys\nfrom pack.answer import answer\nanswer(sys.argv[1:])\n",
    "runtime/python/pack/__init__.py": b"",
    "runtime/python/pack/answer.py": b"def answer(words):\n    print('{\"healthy\":true}')\n",
    "runtime/python/pack/more.py": b"",
}
_EVIL = "import pathlib\npathlib.Path.home().joinpath('evil').touch()\ndef answer(words):\n    print('evil')\n"


@pytest.fixture
def bundle(make_bundle, tools) -> Bundle:
    return made(make_bundle, tools)


def made(make_bundle, tools, version: str = "1") -> Bundle:
    tools("python3", f'exec "{sys.executable}" "$@"')
    target = load_target("rpi4")
    target = msgspec.structs.replace(
        target, architecture=platform.machine(), os=msgspec.structs.replace(target.os, python=_PYTHON)
    )
    return make_bundle(
        version=version,
        files={"run": run_script(target, {}).encode(), **_SOURCES},
        runtime=Runtime(backend="none", python=_PYTHON, glibc=None, packages={}),
    )


def bytecode(release: Path, module: str = "answer") -> Path:
    (found,) = (release / ".bytecode").rglob(f"{module}.*.pyc")
    return found


def foreign(pyc: Path, source: Path) -> None:
    """Bytecode of other sources, with the time and size of these: Python takes it for theirs."""
    info = source.stat()
    code = importlib.util.MAGIC_NUMBER + bytes(4)
    code += int(info.st_mtime).to_bytes(4, "little") + info.st_size.to_bytes(4, "little")
    pyc.parent.mkdir(parents=True, exist_ok=True)
    pyc.write_bytes(code + marshal.dumps(compile(_EVIL, str(source), "exec")))


def reseal(release: Path) -> None:
    script = "find . ! -type d ! -path ./MD5SUMS -exec md5sum {} + | LC_ALL=C sort >.new; mv .new MD5SUMS"
    subprocess.run(["sh", "-c", script], cwd=release / ".bytecode", check=True)


def start(release: Path, home: Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """As an application does it."""
    return subprocess.run(
        [home / ".edgedeploy/current/model/run", "check"],
        capture_output=True,
        text=True,
        check=False,
        env={**os.environ, "HOME": str(home), **environment},
    )


def test_it_is_made_by_the_check_only(bundle: Bundle, device: LocalConnection, home: Path) -> None:
    release = Path(push(bundle, device).release.path)
    before = sorted((release / ".bytecode").rglob("*"))
    assert (release / ".bytecode/MD5SUMS").read_text().count("answer.") == 1
    assert start(release, home).stdout == '{"healthy":true}\n'
    assert sorted((release / ".bytecode").rglob("*")) == before
    assert not list(release.rglob("__pycache__"))


@pytest.mark.parametrize("sealed", [False, True])
def test_foreign_bytecode_never_runs(bundle: Bundle, device: LocalConnection, home: Path, sealed: bool) -> None:
    release = Path(push(bundle, device).release.path)
    foreign(bytecode(release), release / "runtime/python/pack/answer.py")
    if sealed:
        reseal(release)
    else:
        assert start(release, home).stdout == '{"healthy":true}\n'
    (running,) = status(device, check_health=True).running
    assert (running.healthy_now, running.health_now) == (True, '{"healthy":true}')
    assert start(release, home).stdout == '{"healthy":true}\n'
    assert not (home / "evil").exists()


@pytest.mark.parametrize("what", ["flipped", "cut", "added", "removed seal", "a link"])
def test_damaged_bytecode(bundle: Bundle, device: LocalConnection, home: Path, what: str, tmp_path: Path) -> None:
    release = Path(push(bundle, device).release.path)
    pyc = bytecode(release)
    content = pyc.read_bytes()
    if what == "flipped":
        pyc.write_bytes(content[:40] + bytes([content[40] ^ 0xFF]) + content[41:])
    elif what == "cut":
        pyc.write_bytes(content[:17])
    elif what == "added":
        foreign(pyc.with_name(pyc.name.replace("answer", "more")), release / "runtime/python/pack/more.py")
    elif what == "removed seal":
        (release / ".bytecode/MD5SUMS").unlink()
        foreign(pyc, release / "runtime/python/pack/answer.py")
    else:
        foreign(pyc, release / "runtime/python/pack/answer.py")
        (release / ".bytecode").rename(tmp_path / "elsewhere")
        (release / ".bytecode").symlink_to(tmp_path / "elsewhere")
    assert start(release, home).stdout == '{"healthy":true}\n'
    result = push(bundle, device)
    assert (result.activated, result.health) == (False, '{"healthy":true}')
    assert broken_files(device, result.release) == ""
    assert bytecode(release).read_bytes() == content
    assert not (release / ".bytecode").is_symlink()
    assert not (home / "evil").exists()


def test_bytecode_beside_the_sources_never_runs(bundle: Bundle, device: LocalConnection, home: Path) -> None:
    release = Path(push(bundle, device).release.path)
    source = release / "runtime/python/pack/answer.py"
    foreign(Path(importlib.util.cache_from_source(str(source))), source)
    assert start(release, home).stdout == '{"healthy":true}\n'
    push(bundle, device)
    assert not list(release.rglob("__pycache__"))
    assert not (home / "evil").exists()


def test_a_release_that_was_damaged_starts_from_bytecode(bundle: Bundle, device: LocalConnection, home: Path) -> None:
    release = Path(push(bundle, device).release.path)
    (release / "numpy.py").touch()
    assert push(bundle, device).health == '{"healthy":true}'
    assert str(release) in str(bytecode(release))
    assert ".partial" not in str(bytecode(release))


def test_rollback_makes_it_anew(make_bundle, tools, device: LocalConnection, home: Path) -> None:
    first = push(made(make_bundle, tools), device).release
    push(made(make_bundle, tools, "2"), device)
    release = Path(first.path)
    content = bytecode(release).read_bytes()
    foreign(bytecode(release), release / "runtime/python/pack/answer.py")
    reseal(release)
    assert rollback(device).id == first.id
    assert bytecode(release).read_bytes() == content
    assert start(release, home).stdout == '{"healthy":true}\n'
    assert not (home / "evil").exists()


def test_variables_of_the_devices_owner(bundle: Bundle, device: LocalConnection, home: Path, tmp_path: Path) -> None:
    release = Path(push(bundle, device).release.path)
    evil = tmp_path / "evil modules"
    (evil / "pack").mkdir(parents=True)
    (evil / "pack/answer.py").write_text(_EVIL)
    (evil / "cache").mkdir()
    done = start(
        release,
        home,
        PYTHONSAFEPATH="1",
        PYTHONPATH=str(evil),
        PYTHONHOME="/nowhere",
        PYTHONWARNINGS="error::pack.answer.Missing",
        PYTHONINSPECT="1",
        PYTHONOPTIMIZE="2",
        PYTHONPYCACHEPREFIX=str(evil / "cache"),
        PYTHONPLATLIBDIR="nowhere",
    )
    assert (done.stdout, done.returncode) == ('{"healthy":true}\n', 0)
    assert not (home / "evil").exists()
    assert not list((evil / "cache").iterdir())
