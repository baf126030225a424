"""Write a bundle's manifest; open and verify a bundle, a folder or one file, from any source."""

from __future__ import annotations

import hashlib
import os
import shlex
import stat
from collections.abc import Sequence
from pathlib import Path

import msgspec

from edgedeploy.bundle.archive import SUFFIX, check_size, read_manifest, verify_contents, write_edge_file
from edgedeploy.foundation.errors import IntegrityError, InvalidFileError
from edgedeploy.foundation.files import sha256_file, unreadable
from edgedeploy.foundation.reading import MANIFEST, read_file
from edgedeploy.foundation.validation import is_name, is_relative_path, is_sha256
from edgedeploy.values.bundle import MANIFEST_NAME, Bundle, FileEntry, Manifest

SCHEMA = 1


def open_bundle(path: Path, *, verify: bool = True) -> Bundle:
    """Read a bundle's manifest and check it.

    Args:
        path: a folder, or an `.edge` file (`edgedeploy.bundle.archive`).
        verify: also check that it holds the files that the manifest lists, with their sizes, hashes and executable
            bits, and nothing else.

    Raises:
        InvalidFileError: the bundle or its manifest is missing, malformed, or of a schema that this version does not
            read; or the manifest lists a path that leads out of the bundle.
        IntegrityError: a file is missing, is not listed, or is not what the manifest says.
    """
    is_one_file = path.is_file()
    content = read_manifest(path, MANIFEST.size_bytes) if is_one_file else _read_manifest(path)
    manifest = decode_manifest(content, f"the manifest of {path}" if is_one_file else str(path / MANIFEST_NAME))
    if is_one_file:
        check_size(path, manifest, len(content))
    if verify:
        if is_one_file:
            verify_contents(path, manifest, content)
        else:
            _verify(path, manifest)
    return Bundle(
        path=path,
        manifest=manifest,
        sha256=hashlib.sha256(content).hexdigest(),
        size_bytes=len(content) + sum(entry.size_bytes for entry in manifest.files),
    )


def pack_bundle(bundle: Bundle, output: Path) -> Bundle:
    """Write a bundle that lies in a folder as one file.

    Args:
        output: its name ends with `.edge`. A bundle that is there is replaced, whole.

    Raises:
        InvalidFileError: the bundle is one file already, or `output` has another ending or is no bundle.
        IntegrityError: a file of the folder is not what the manifest says.
        HostError: the file cannot be written.
    """
    if output.suffix != SUFFIX:
        raise InvalidFileError(f"{output} is no name of a bundle in one file", hint=f"let it end with {SUFFIX}")
    if bundle.path.is_file():
        raise InvalidFileError(f"{bundle.path} is one file already", hint="copy it")
    check_replaceable(output)
    write_edge_file(bundle.path, bundle.manifest, _read_manifest(bundle.path), output)
    return open_bundle(output, verify=False)


def manifest_bytes(bundle: Bundle) -> bytes:
    """Read the manifest of an open bundle, byte for byte.

    Raises:
        InvalidFileError: it cannot be read any more.
        IntegrityError: it is another one by now.
    """
    one_file = bundle.path.is_file()
    content = read_manifest(bundle.path, MANIFEST.size_bytes) if one_file else _read_manifest(bundle.path)
    if hashlib.sha256(content).hexdigest() != bundle.sha256:
        raise IntegrityError(f"{bundle.path} has changed since it was opened", hint="run the command again")
    return content


def check_replaceable(output: Path) -> None:
    """Refuse an output that would replace anything but a bundle: a mistyped `-o` must not cost other files.

    Raises:
        InvalidFileError: there is something at `output`, and it is not a bundle in the form that its name says.
    """
    one_file = output.suffix == SUFFIX
    if output.is_symlink() or (output.exists() and output.is_dir() == one_file):
        kind = "a file" if one_file else "a folder"
        raise InvalidFileError(f"{output} exists and is not {kind}", hint=f"name another {kind.split()[1]} with -o")
    if not output.exists() or (not one_file and not any(output.iterdir())):
        return
    try:
        existing = open_bundle(output, verify=False)
        extra = () if one_file else unlisted(output, existing.manifest)
    except (InvalidFileError, IntegrityError) as error:
        raise InvalidFileError(
            f"{output} exists and is not a bundle, so it is not replaced",
            why=error.what,
            hint="name another place with -o, or remove it",
        ) from error
    if extra:
        raise InvalidFileError(
            f"{output} is a bundle that also holds {extra[0]}, so it is not replaced",
            hint="name another folder with -o, or remove it",
        )


def encode_manifest(manifest: Manifest) -> bytes:
    """Encode a manifest as it stands in a bundle: the same manifest gives the same bytes."""
    return msgspec.json.format(msgspec.json.encode(manifest), indent=2) + b"\n"


def decode_manifest(content: bytes, where: str) -> Manifest:
    """Read a manifest and check all that can be checked without the files.

    Raises:
        InvalidFileError: it is malformed, contradicts itself, or names a path that is not plainly inside the bundle.
    """
    try:
        manifest = msgspec.json.decode(content, type=Manifest)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        raise InvalidFileError(f"{where} is not a bundle's manifest", why=str(error)) from error
    if problems := _problems(manifest):
        raise InvalidFileError(f"{where} is not sound", why=problems[0], hint="compile the bundle again")
    return manifest


def list_files(folder: Path) -> tuple[FileEntry, ...]:
    """List every file below `folder` but the manifest, with size and hash, in path order."""
    return tuple(
        FileEntry(
            path=name,
            size_bytes=file.stat().st_size,
            sha256=sha256_file(file),
            executable=bool(file.stat().st_mode & stat.S_IXUSR),
        )
        for name, file in _walk(folder)
        if name != MANIFEST_NAME
    )


def unlisted(path: Path, manifest: Manifest) -> Sequence[str]:
    """List files in the folder that the manifest does not list."""
    listed = {entry.path for entry in manifest.files}
    return [name for name, _ in _walk(path) if name != MANIFEST_NAME and name not in listed]


def _problems(manifest: Manifest) -> Sequence[str]:
    problems = []
    if manifest.schema != SCHEMA:
        return [f"its schema is {manifest.schema}; this edgedeploy reads {SCHEMA}"]
    for key, text in (("name", manifest.name), ("version", manifest.version)):
        if not is_name(text):
            problems.append(f"{key} {text!r}: expected lower-case letters, digits, '.', '_', '-', at most 64")
    paths = [entry.path for entry in manifest.files]
    for entry in manifest.files:
        if entry.path == MANIFEST_NAME or not is_relative_path(entry.path):
            problems.append(f"{entry.path!r} is not a path inside the bundle")
        if entry.size_bytes < 0 or not is_sha256(entry.sha256):
            problems.append(f"{entry.path!r} has no valid size and SHA-256")
    if paths != sorted(set(paths)):
        problems.append("its files are not in path order, or one is listed twice")
    folders = {"/".join(path.split("/")[:depth]) for path in paths for depth in range(1, path.count("/") + 1)}
    problems += [f"{path!r} is listed as a file and used as a folder" for path in paths if path in folders]
    # Checked before it is counted up to: the number is a stranger's.
    if not 0 <= manifest.golden_samples <= len(paths):
        problems.append(f"golden_samples is {manifest.golden_samples}, more than there are files")
    else:
        golden = [f"golden/{number:04}.npz" for number in range(manifest.golden_samples)]
        missing = sorted({manifest.model_file, manifest.runner, *golden} - set(paths))
        problems += [f"it does not list {path!r}, which it needs" for path in missing]
    if any(entry.path == manifest.runner and not entry.executable for entry in manifest.files):
        problems.append(f"its runner {manifest.runner!r} is not executable")
    return problems


def _read_manifest(path: Path) -> bytes:
    manifest = path / MANIFEST_NAME
    if path.is_dir() and not manifest.exists():
        raise InvalidFileError(f"{path} is not a bundle", why=f"it holds no {MANIFEST_NAME}")
    try:
        return read_file(manifest, MANIFEST)
    except NotADirectoryError as error:
        raise InvalidFileError(f"{path} is not a bundle", why="it is neither a folder nor a regular file") from error
    except FileNotFoundError as error:
        raise InvalidFileError(f"{path} does not exist", hint="check the path, or compile the bundle") from error
    except OSError as error:
        raise unreadable(manifest, error) from error


def _verify(path: Path, manifest: Manifest) -> None:
    again = "compile the bundle again"
    found = dict(_walk(path))
    found.pop(MANIFEST_NAME, None)
    for entry in manifest.files:
        if entry.path not in found:
            raise IntegrityError(f"{path} lacks the file {entry.path}", hint=again)
    if extra := sorted(found.keys() - {entry.path for entry in manifest.files}):
        raise IntegrityError(f"{path} holds {extra[0]}, which its manifest does not list", hint=again)
    for entry in manifest.files:
        status = found[entry.path].stat()
        if status.st_size != entry.size_bytes or sha256_file(found[entry.path]) != entry.sha256:
            raise IntegrityError(
                f"{found[entry.path]} is not what the manifest says", why="size or SHA-256 differs", hint=again
            )
        if entry.executable and not status.st_mode & stat.S_IXUSR:
            raise IntegrityError(
                f"{found[entry.path]} is not executable", hint=f"chmod +x {shlex.quote(str(found[entry.path]))}"
            )


def _walk(folder: Path) -> Sequence[tuple[str, Path]]:
    """Yield the files below a folder with their path in it, in path order; what is neither file nor folder is refused.

    Raises:
        IntegrityError: there is a symbolic link, a device, a socket.
        InvalidFileError: a folder cannot be read.
    """

    def fail(error: OSError) -> None:
        raise unreadable(Path(error.filename), error) from error

    found = []
    for parent, folders, names in os.walk(folder, onerror=fail):
        for name in (*folders, *names):
            path = Path(parent) / name
            mode = path.lstat().st_mode
            if not stat.S_ISDIR(mode) and not stat.S_ISREG(mode):
                raise IntegrityError(f"{path} is neither a file nor a folder; a bundle has nothing else")
            if stat.S_ISREG(mode):
                found.append((path.relative_to(folder).as_posix(), path))
    return sorted(found)
