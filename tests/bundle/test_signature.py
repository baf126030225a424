"""Signatures with real keys and the real ssh-keygen, on this machine as host and device."""

from __future__ import annotations

import os
import shutil
import subprocess
from pathlib import Path

import pytest
from click.testing import CliRunner
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.device_store import tree

from edgedeploy.bundle.build import manifest_bytes
from edgedeploy.bundle.signature import allowed_signers, read_signature, sign, signature_path, signer
from edgedeploy.cli.main import cli
from edgedeploy.deploy.device_log import read_log
from edgedeploy.deploy.push import push
from edgedeploy.deploy.releases import current_release, releases, rollback
from edgedeploy.device.local import LocalConnection
from edgedeploy.foundation.errors import DeviceError, EdgedeployError, HostError, IntegrityError, InvalidFileError
from edgedeploy.values.bundle import Bundle


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """`ours` and `theirs`, and `allowed` with the former alone."""
    folder = tmp_path_factory.mktemp("keys")
    for name in ("ours", "theirs"):
        command = ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", name, "-f", str(folder / name)]
        subprocess.run(command, check=True)
    public = (folder / "ours.pub").read_text()
    (folder / "allowed").write_text(f'release@example.com namespaces="edgedeploy-bundle" {public}')
    return folder


def signed(bundle: Bundle, key: Path) -> bytes:
    sign(manifest_bytes(bundle), bundle.path, key)
    signature = read_signature(bundle.path)
    assert signature is not None
    return signature


class TestOnTheHost:
    def test_what_was_signed_is_told_with_its_signer(self, make_bundle, keys: Path) -> None:
        bundle = make_bundle()
        signature = signed(bundle, keys / "ours")
        assert signer(manifest_bytes(bundle), signature, keys / "allowed", bundle.path) == "release@example.com"
        assert signature_path(bundle.path).name == f"{bundle.path.name}.sig"

    def test_signers_that_others_can_change_and_a_key_that_others_can_read(
        self, make_bundle, keys: Path, tmp_path: Path
    ) -> None:
        bundle = make_bundle()
        signature = signed(bundle, keys / "ours")
        for name, mode in (("allowed", 0o666), ("ours", 0o644)):
            shutil.copy(keys / name, tmp_path / name)
            (tmp_path / name).chmod(mode)
        with pytest.raises(InvalidFileError, match="allowed can be written by other users") as caught:
            signer(manifest_bytes(bundle), signature, tmp_path / "allowed", bundle.path)
        assert caught.value.hint == f"chmod go-w {tmp_path / 'allowed'}"
        with pytest.raises(InvalidFileError, match="other users can read the private key"):
            sign(manifest_bytes(bundle), bundle.path, tmp_path / "ours")

    def test_another_key_another_purpose_or_none(self, make_bundle, keys: Path, tmp_path: Path) -> None:
        bundle = make_bundle()
        manifest = manifest_bytes(bundle)
        with pytest.raises(IntegrityError, match="is not signed"):
            signer(manifest, None, keys / "allowed", bundle.path)
        with pytest.raises(IntegrityError, match="does not allow"):
            signer(manifest, signed(bundle, keys / "theirs"), keys / "allowed", bundle.path)
        (tmp_path / "manifest").write_bytes(manifest)
        command = ["ssh-keygen", "-q", "-Y", "sign", "-n", "git", "-f", str(keys / "ours"), str(tmp_path / "manifest")]
        subprocess.run(command, check=True)
        with pytest.raises(IntegrityError, match="not one of its manifest"):
            signer(manifest, (tmp_path / "manifest.sig").read_bytes(), keys / "allowed", bundle.path)

    @pytest.mark.slow
    @settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_a_manifest_or_signature_that_was_touched(self, data: st.DataObject, make_bundle, keys: Path) -> None:
        bundle = make_bundle()
        manifest, signature = manifest_bytes(bundle), signed(bundle, keys / "ours")
        which = data.draw(st.sampled_from(["manifest", "signature"]))
        whole = manifest if which == "manifest" else signature
        # The armour around a signature may differ: what is between its first and last line may not.
        first, last = (0, len(whole)) if which == "manifest" else (whole.index(b"\n") + 1, whole.rindex(b"\n-----END"))
        place = data.draw(st.integers(first, last - 1))
        touched = whole[:place] + bytes([whole[place] ^ 1]) + whole[place + 1 :]
        if which == "signature" and (whole[place] == 0x0A or touched[place] in b"\n="):
            return
        with pytest.raises(EdgedeployError):
            if which == "manifest":
                signer(touched, signature, keys / "allowed", bundle.path)
            else:
                signer(manifest, touched, keys / "allowed", bundle.path)

    def test_keys_and_files_that_are_none(self, make_bundle, keys: Path, tmp_path: Path) -> None:
        bundle = make_bundle()
        with pytest.raises(InvalidFileError, match="there is no key"):
            sign(b"", bundle.path, tmp_path / "none")
        (tmp_path / "text").write_text("no key")
        with pytest.raises(InvalidFileError, match="cannot be signed with"):
            sign(b"", bundle.path, tmp_path / "text")
        # ssh-keygen would read either for as long as there is something to read.
        os.mkfifo(tmp_path / "pipe")
        with (tmp_path / "large").open("wb") as file:
            file.truncate(3 << 30)
        for name, message in (("pipe", "not a regular file"), ("large", "too large"), (".", "folder")):
            with pytest.raises(InvalidFileError, match=message):
                sign(b"", bundle.path, tmp_path / name)
        with pytest.raises(InvalidFileError, match="whose signatures count"):
            signer(b"", b"", tmp_path / "none", bundle.path)
        signature_path(bundle.path).write_bytes(b"x" * 100_000)
        with pytest.raises(InvalidFileError, match="too large"):
            read_signature(bundle.path)

    def test_a_clock_that_is_plainly_wrong(self, make_bundle, keys: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        bundle = make_bundle()
        signature = signed(bundle, keys / "ours")
        monkeypatch.setattr("time.time", lambda: 86_399.0)
        with pytest.raises(HostError, match="this machine's clock is wrong"):
            signer(manifest_bytes(bundle), signature, keys / "allowed", bundle.path)

    def test_whose_signatures_count(self, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
        monkeypatch.setenv("XDG_CONFIG_HOME", str(tmp_path))
        assert allowed_signers() == tmp_path / "edgedeploy" / "allowed_signers"
        monkeypatch.setenv("EDGEDEPLOY_ALLOWED_SIGNERS", "/there")
        assert allowed_signers() == Path("/there")
        assert allowed_signers(Path("/given")) == Path("/given")


LINES = {
    "several names": (
        'release@example.com,other@example.com namespaces="edgedeploy-bundle" KEY\n',
        "release@example.com",
    ),
    "a name that the line is not for": ('!alice,*@example.com namespaces="edgedeploy-bundle" KEY\n', "*@example.com"),
    "first for git": ('git@example.com namespaces="git" KEY\nme@example.com KEY\n', "me@example.com"),
    "first over": ('old@example.com valid-before="20200101" KEY\nme@example.com KEY\n', "me@example.com"),
    "first to come": ('new@example.com valid-after="20990101" KEY\nme@example.com KEY\n', "me@example.com"),
    "first an authority": ("ca@example.com cert-authority KEY\nme@example.com KEY", "me@example.com"),
    "first a pattern that another one matches": (
        '*@example.com namespaces="git" KEY\n# `x` $(touch no)\n\n* namespaces="edgedeploy-bundle" KEY\n',
        "*",
    ),
    "first of nobody": ("!me@example.com KEY\nme@example.com KEY\n", "me@example.com"),
    "first a mistake": ("who what\nme@example.com KEY\n", "me@example.com"),
}
REFUSED = {
    "for git only": 'me@example.com namespaces="git" KEY\nother@example.com namespaces="file,git" KEY\n',
    "over, and for git": 'me@example.com valid-before="20200101" KEY\nme@example.com namespaces="git" KEY\n',
    "an authority": "me@example.com cert-authority KEY\n",
    "nobody": "!me@example.com KEY\n",
}


@pytest.mark.slow
class TestOnTheDevice:
    @pytest.mark.parametrize("case", LINES)
    def test_the_line_that_allows_it_says_who_signed(
        self, make_bundle, device: LocalConnection, home: Path, keys: Path, case: str
    ) -> None:
        text, who = LINES[case]
        signers = home / ".edgedeploy/allowed_signers"
        signers.write_text(text.replace("KEY", (keys / "ours.pub").read_text().strip()))
        bundle = make_bundle()
        signature = signed(bundle, keys / "ours")
        assert signer(manifest_bytes(bundle), signature, signers, bundle.path) == who
        assert push(bundle, device, signature=signature).signer == who

    @pytest.mark.parametrize("case", REFUSED)
    def test_a_key_whose_lines_are_for_something_else(
        self, make_bundle, device: LocalConnection, home: Path, keys: Path, case: str
    ) -> None:
        signers = home / ".edgedeploy/allowed_signers"
        signers.write_text(REFUSED[case].replace("KEY", (keys / "ours.pub").read_text().strip()))
        bundle = make_bundle()
        signature = signed(bundle, keys / "ours")
        with pytest.raises(IntegrityError, match="does not allow"):
            signer(manifest_bytes(bundle), signature, signers, bundle.path)
        with pytest.raises(DeviceError, match="does not accept the signature"):
            push(bundle, device, signature=signature)

    def test_one_signed_by_a_certificate(self, make_bundle, device: LocalConnection, home: Path, keys: Path) -> None:
        command = ["ssh-keygen", "-q", "-s", keys / "theirs", "-I", "id", "-n", "me@example.com,x", keys / "ours.pub"]
        subprocess.run(command, check=True)
        signers = home / ".edgedeploy/allowed_signers"
        authority = (keys / "theirs.pub").read_text().strip()
        signers.write_text(f'me@example.com namespaces="git" {authority}\nme@example.com cert-authority {authority}\n')
        bundle = make_bundle()
        # ssh-keygen signs with a certificate where an agent or a folder has the private key of it.
        shutil.copy(keys / "ours", home / "key")
        (keys / "ours-cert.pub").rename(home / "key-cert.pub")
        command = ["ssh-keygen", "-q", "-Y", "sign", "-n", "edgedeploy-bundle", "-f", home / "key-cert.pub"]
        done = subprocess.run(command, input=manifest_bytes(bundle), capture_output=True, check=True)
        assert signer(manifest_bytes(bundle), done.stdout, signers, bundle.path) == "me@example.com"
        assert push(bundle, device, signature=done.stdout).signer == "me@example.com"

    @pytest.fixture
    def home(self, tmp_path: Path) -> Path:
        return tmp_path / "device"

    @pytest.fixture
    def device(self, home: Path, keys: Path) -> LocalConnection:
        """One whose owner takes signed releases only."""
        (home / ".edgedeploy").mkdir(parents=True)
        (home / ".edgedeploy/allowed_signers").write_bytes((keys / "allowed").read_bytes())
        return LocalConnection("local:", home)

    def test_signed_releases_become_current(self, make_bundle, device: LocalConnection, keys: Path) -> None:
        first, second = make_bundle(), make_bundle(version="2")
        result = push(first, device, signature=signed(first, keys / "ours"))
        assert (result.activated, result.signer) == (True, "release@example.com")
        push(second, device, signature=signed(second, keys / "ours"))
        assert rollback(device).id == result.release.id

    def test_others_do_not(self, make_bundle, device: LocalConnection, keys: Path) -> None:
        bundle = make_bundle()
        with pytest.raises(DeviceError, match="takes signed bundles only"):
            push(bundle, device)
        with pytest.raises(DeviceError, match="does not accept the signature"):
            push(bundle, device, signature=signed(bundle, keys / "theirs"))
        with pytest.raises(DeviceError, match="does not accept the signature"):
            push(bundle, device, signature=signed(make_bundle(version="2"), keys / "ours"))
        assert releases(device) == ()
        assert {entry.event for entry in read_log(device)} == {"refused"}

    def test_a_release_whose_signature_went_is_no_way_back(
        self, make_bundle, device: LocalConnection, keys: Path
    ) -> None:
        first, second = make_bundle(), make_bundle(version="2")
        before = push(first, device, signature=signed(first, keys / "ours")).release
        push(second, device, signature=signed(second, keys / "ours"))
        Path(f"{before.path}.sig").unlink()
        with pytest.raises(DeviceError, match="does not accept the signature"):
            rollback(device)
        assert current_release(device).manifest.version == "2"

    def test_a_refused_signature_leaves_the_good_one_of_a_release_that_is_there(
        self, make_bundle, device: LocalConnection, home: Path, keys: Path
    ) -> None:
        first, second = make_bundle(), make_bundle(version="2")
        good = signed(first, keys / "ours")
        release = push(first, device, signature=good).release
        push(second, device, signature=signed(second, keys / "ours"))
        before = tree(home)
        for bad in (signed(first, keys / "theirs"), signed(second, keys / "ours"), b"no signature"):
            with pytest.raises(DeviceError, match="does not accept the signature"):
                push(first, device, signature=bad)
        assert tree(home) == before
        assert rollback(device).id == release.id

    def test_an_unhealthy_push_leaves_the_signature_of_what_is_there(
        self, make_bundle, device: LocalConnection, home: Path, keys: Path
    ) -> None:
        bundle = make_bundle(files={"run": b'#!/bin/sh\n[ ! -e "$HOME/ill" ]\n'})
        release = push(bundle, device, signature=signed(bundle, keys / "ours")).release
        kept = Path(f"{release.path}.sig").read_bytes()
        (home / "ill").touch()
        again = kept.replace(b"-----END", b"\n-----END")  # as good, and other bytes
        with pytest.raises(DeviceError, match="is not healthy"):
            push(bundle, device, signature=again)
        assert Path(f"{release.path}.sig").read_bytes() == kept
        (home / "ill").unlink()
        push(bundle, device, signature=again)
        assert Path(f"{release.path}.sig").read_bytes() == again

    def test_one_that_cannot_check_takes_nothing(
        self, make_bundle, device: LocalConnection, keys: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
    ) -> None:
        bundle = make_bundle()
        signature = signed(bundle, keys / "ours")
        tools = tmp_path / "tools"
        tools.mkdir()
        for folder in ("/usr/bin", "/bin"):
            for tool in Path(folder).iterdir():
                if tool.name != "ssh-keygen" and not (tools / tool.name).is_symlink():
                    (tools / tool.name).symlink_to(tool)
        monkeypatch.setenv("PATH", str(tools))
        with pytest.raises(DeviceError, match="cannot check one"):
            push(bundle, device, signature=signature)
        assert releases(device) == ()

    @pytest.mark.parametrize("what", ["dangling link", "link to itself", "folder", "null device", "pipe"])
    def test_a_file_of_signers_that_cannot_be_read_lets_nobody_in(
        self, make_bundle, device: LocalConnection, home: Path, keys: Path, what: str
    ) -> None:
        """As on a boot partition that is not mounted. There is no way back either: who may sign is unknown."""
        signers = home / ".edgedeploy/allowed_signers"
        first, second = make_bundle(), make_bundle(version="2")
        push(first, device, signature=signed(first, keys / "ours"))
        push(second, device, signature=signed(second, keys / "ours"))
        signers.unlink()
        match what:
            case "dangling link":
                signers.symlink_to(home / "boot/allowed_signers")
            case "link to itself":
                signers.symlink_to(signers)
            case "folder":
                signers.mkdir()
            case "null device":  # which other users may write: that is no reason to take that from them
                signers.symlink_to("/dev/null")
            case _:
                os.mkfifo(signers)
        third = make_bundle(version="3")
        for signature in (None, signed(third, keys / "ours")):
            with pytest.raises(DeviceError, match="cannot read who may sign"):
                push(third, device, signature=signature)
        with pytest.raises(DeviceError, match="cannot read who may sign"):
            rollback(device)
        assert current_release(device).manifest.version == "2"

    @pytest.mark.parametrize("clock", ["1970", "before its signers", "says nothing"])
    def test_a_clock_that_is_plainly_wrong_accepts_no_key(
        self,
        make_bundle,
        device: LocalConnection,
        home: Path,
        keys: Path,
        clock: str,
        tmp_path: Path,
        monkeypatch: pytest.MonkeyPatch,
    ) -> None:
        first, second = make_bundle(), make_bundle(version="2")
        push(first, device, signature=signed(first, keys / "ours"))
        push(second, device, signature=signed(second, keys / "ours"))
        third = make_bundle(version="3")
        signature = signed(third, keys / "ours")
        signers = home / ".edgedeploy/allowed_signers"
        if clock == "before its signers":
            days_ahead_s = signers.stat().st_mtime + 3 * 86_400
            os.utime(signers, (days_ahead_s, days_ahead_s))
        else:
            real = shutil.which("date")
            answer = "echo 86399" if clock == "1970" else "echo 'date: not found' >&2; exit 127"
            (tmp_path / "tools").mkdir()
            (tmp_path / "tools/date").write_text(
                f'#!/bin/sh\ncase "$*" in +%s) {answer} ;; *) exec {real} "$@" ;; esac\n'
            )
            (tmp_path / "tools/date").chmod(0o755)
            monkeypatch.setenv("PATH", f"{tmp_path / 'tools'}:{os.environ['PATH']}")
        with pytest.raises(DeviceError, match="its clock is wrong") as caught:
            push(third, device, signature=signature)
        assert "whether a key is valid today" in caught.value.why and "set its clock" in caught.value.hint
        assert {release.manifest.version for release in releases(device)} == {"1", "2"}
        # The way back asks for no clock.
        assert rollback(device).manifest.version == "1"

    def test_elsewhere_a_signature_is_kept_for_later(self, make_bundle, tmp_path: Path, keys: Path) -> None:
        device = LocalConnection("local:", tmp_path / "device")
        bundle = make_bundle()
        signature = signed(bundle, keys / "ours")
        result = push(bundle, device, signature=signature)
        assert result.signer is None and Path(f"{result.release.path}.sig").read_bytes() == signature

    def test_elsewhere_a_signature_of_other_bytes_replaces_none(self, make_bundle, tmp_path: Path, keys: Path) -> None:
        """The owner may put a file of allowed signers there tomorrow."""
        device = LocalConnection("local:", tmp_path / "device")
        bundle = make_bundle()
        signature = signed(bundle, keys / "ours")
        release = push(bundle, device, signature=signature).release
        assert not push(bundle, device, signature=signed(make_bundle(version="2"), keys / "ours")).activated
        assert Path(f"{release.path}.sig").read_bytes() == signature


@pytest.mark.slow
def test_the_commands(make_bundle, keys: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def call(*words: object) -> tuple[object, str]:
        told = CliRunner().invoke(cli, [str(word) for word in words], standalone_mode=False)
        if isinstance(told.exception, EdgedeployError):
            return told.exception.exit_code, str(told.exception)
        return told.return_value, told.stdout

    monkeypatch.setenv("HOME", str(tmp_path))
    bundle = make_bundle().path
    allowed = ("--allowed-signers", keys / "allowed")
    code, said = call("bundle", "verify", bundle, *allowed)
    assert code == 11 and "edgedeploy bundle sign" in said
    code, said = call("push", bundle, "--to", "local:", "--require-signature", *allowed)
    assert code == 11 and not (tmp_path / ".edgedeploy").exists()
    assert call("bundle", "sign", bundle, "--key", keys / "ours")[0] == 0
    code, said = call("bundle", "verify", bundle, *allowed)
    assert code == 0 and "signed by release@example.com" in said
    assert call("push", bundle, "--to", "local:", "--require-signature", *allowed)[0] == 0
    (bundle / "model.onnx").write_bytes(b"another model")
    assert call("push", bundle, "--to", "local:", "--require-signature", *allowed)[0] == 11
