"""A push asks the device what it is, and sends nothing to one that the bundle does not fit."""

from __future__ import annotations

import os
import re
import shutil
import sys
from pathlib import Path

import msgspec
import pytest
from support.device_store import FakeTool, Untouchable, store

from edgedeploy.deploy.push import push
from edgedeploy.deploy.releases import releases
from edgedeploy.deploy.scripts.asking import TOOLS
from edgedeploy.device.local import LocalConnection
from edgedeploy.foundation.errors import DeviceError, IntegrityError
from edgedeploy.values.bundle import Needs, Runtime

pytestmark = pytest.mark.slow


class TestPreflight:
    def test_wrong_architecture(self, make_bundle, device: LocalConnection, home: Path) -> None:
        with pytest.raises(DeviceError, match="for sparc64"):
            push(make_bundle(architecture="sparc64"), device)
        assert not store(home).exists()

    def test_wrong_python(self, make_bundle, device: LocalConnection, home: Path) -> None:
        bundle = make_bundle()
        runtime = msgspec.structs.replace(bundle.manifest.runtime, python="2.6")
        with pytest.raises(DeviceError, match=r"needs Python 2\.6"):
            push(make_bundle(runtime=runtime), device)
        assert not store(home).exists()

    def test_another_python_than_its(self, make_bundle, device: LocalConnection, home: Path, tools: FakeTool) -> None:
        for name in ("python3", "python", *(f"python3.{minor}" for minor in range(9, 16))):
            tools(name, "echo 3.4 64 glibc 2.100")
        runtime = Runtime(backend="onnxruntime", python="3.11", glibc="2.36", packages={})
        with pytest.raises(DeviceError, match=r"needs Python 3\.11, and local: has Python 3\.4"):
            push(make_bundle(runtime=runtime), device)
        assert not store(home).exists()

    def test_a_shared_library_that_is_not_there(self, make_bundle, device: LocalConnection, home: Path) -> None:
        needs = Needs(shared_libraries=("libc.so.6", "libstdc++.so.7", "libblas.so.99"))
        with pytest.raises(
            DeviceError, match=r"programs need libstdc\+\+\.so\.7, libblas\.so\.99, and local: is"
        ) as caught:
            push(make_bundle(needs=needs), device)
        assert "--backend native" in caught.value.hint
        assert not store(home).exists()
        assert push(make_bundle(needs=Needs(shared_libraries=("libc.so.6",))), device).activated

    @pytest.mark.parametrize("name", ["$(reboot)", "../libc.so.6", "-rf", "a b", "x" * 65, ""])
    def test_what_is_no_name_of_a_library(self, make_bundle, name: str) -> None:
        sound = make_bundle()
        manifest = msgspec.structs.replace(sound.manifest, needs=Needs(shared_libraries=(name,)))
        with pytest.raises(IntegrityError, match="no name of a shared library"):
            push(msgspec.structs.replace(sound, manifest=manifest), Untouchable())

    def test_a_locale_that_is_not_there(
        self, make_bundle, device: LocalConnection, home: Path, tools: FakeTool
    ) -> None:
        tools("locale", "printf 'C\\nC.utf8\\nPOSIX\\nen_GB.utf8\\n'")
        with pytest.raises(DeviceError, match=r"by the locale en_US\.UTF-8, and local: is without") as caught:
            push(make_bundle(needs=Needs(locales=("C.UTF-8", "en_US.UTF-8"))), device)
        assert "echo 'en_US.UTF-8 UTF-8' >>/etc/locale.gen && locale-gen" in caught.value.hint
        assert not store(home).exists()
        assert push(make_bundle(needs=Needs(locales=("en_GB.UTF-8", "POSIX"))), device).activated

    def test_locales_that_nothing_lists_are_left_to_the_health_check(
        self, make_bundle, device: LocalConnection, tools: FakeTool
    ) -> None:
        tools("locale", "exit 127")
        assert push(make_bundle(needs=Needs(locales=("en_US.UTF-8",))), device).activated

    def test_what_is_no_name_of_a_locale(self, make_bundle) -> None:
        sound = make_bundle()
        manifest = msgspec.structs.replace(sound.manifest, needs=Needs(locales=("$(reboot)",)))
        with pytest.raises(IntegrityError, match="no name of a locale"):
            push(msgspec.structs.replace(sound, manifest=manifest), Untouchable())

    def test_more_memory_was_measured_than_it_has(self, make_bundle, device: LocalConnection, home: Path) -> None:
        with pytest.raises(DeviceError, match=r"were measured, and local: has .* available") as caught:
            push(make_bundle(), device, peak_memory_bytes=1 << 50)
        assert "edgedeploy optimize" in caught.value.hint
        assert not store(home).exists()

    def test_an_instruction_that_the_cores_lack(self, make_bundle, device: LocalConnection, home: Path) -> None:
        """As wheels that were built on newer machines have: the runtime dies as soon as it is loaded."""
        first = push(make_bundle(), device).release
        dies = make_bundle(version="2", files={"run": b"#!/bin/sh\nkill -ILL $$\n"})
        with pytest.raises(DeviceError, match="uses an instruction that the cores of local: do not have") as caught:
            push(dies, device)
        assert caught.value.hint.endswith("edgedeploy probe local:")
        assert releases(device) == (first,)

    def test_python_says_what_is_expected_of_it(self, make_bundle, device: LocalConnection) -> None:
        """The real one, of the machine that runs the tests."""
        version = f"{sys.version_info.major}.{sys.version_info.minor}"
        runtime = Runtime(backend="onnxruntime", python=version, glibc="2.17", packages={})
        assert push(make_bundle(runtime=runtime), device).activated

    @pytest.mark.parametrize("tool", ["sha256sum", "tar"])
    def test_missing_tool(
        self, make_bundle, device: LocalConnection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tool: str
    ) -> None:
        tools = tmp_path / "tools"
        tools.mkdir()
        for name in [*re.findall("for tool in (.*);", TOOLS)[0].split(), "sh"]:
            if name != tool:
                (tools / name).symlink_to(str(shutil.which(name)))
        monkeypatch.setenv("PATH", str(tools))
        with pytest.raises(DeviceError, match=rf"has no {tool}\n"):
            push(make_bundle(), device)

    @pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
    def test_a_home_that_cannot_be_written(self, make_bundle, device: LocalConnection, home: Path) -> None:
        home.chmod(0o500)
        with pytest.raises(DeviceError, match="cannot be locked") as caught:
            push(make_bundle(), device)
        assert "home folder" in caught.value.hint
