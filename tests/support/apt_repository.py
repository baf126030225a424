"""A repository of Debian packages in a folder, for tests that have no network."""

from __future__ import annotations

import hashlib
import subprocess
from pathlib import Path


class Repository:
    """A folder that apt can fetch packages of architecture arm64 from."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        (folder / "pool").mkdir(parents=True)

    def add(self, name: str, version: str, depends: str = "", files: dict[str, str] | None = None) -> None:
        tree = self.folder / "build" / f"{name}_{version}"
        for place, content in {f"usr/share/doc/{name}/readme": name, **(files or {})}.items():
            (tree / place).parent.mkdir(parents=True, exist_ok=True)
            (tree / place).write_text(content)
        (tree / "DEBIAN").mkdir()
        control = f"Package: {name}\nVersion: {version}\nArchitecture: arm64\nMaintainer: a <a@b>\nDescription: d\n"
        control += f"Depends: {depends}\n" if depends else ""
        (tree / "DEBIAN/control").write_text(control)
        deb = self.folder / "pool" / f"{name}_{version.replace(':', '')}.deb"
        subprocess.run(["dpkg-deb", "-Znone", "--build", str(tree), str(deb)], check=True, capture_output=True)

    def publish(self, suite: str, *, origin: str = "Debian", code_name: str | None = None) -> None:
        stanzas = []
        for deb in sorted((self.folder / "pool").glob("*.deb")):
            control = subprocess.run(["dpkg-deb", "--field", str(deb)], check=True, capture_output=True, text=True)
            digest = hashlib.sha256(deb.read_bytes()).hexdigest()
            stanzas.append(f"{control.stdout}Filename: pool/{deb.name}\nSize: {deb.stat().st_size}\nSHA256: {digest}\n")
        index = self.folder / "dists" / suite / "main/binary-arm64/Packages"
        index.parent.mkdir(parents=True, exist_ok=True)
        index.write_text("\n".join(stanzas))
        digest = hashlib.sha256(index.read_bytes()).hexdigest()
        (self.folder / "dists" / suite / "Release").write_text(
            f"Origin: {origin}\nSuite: {suite}\nCodename: {code_name or suite}\n"
            "Architectures: arm64\nComponents: main\n"
            f"SHA256:\n {digest} {index.stat().st_size} main/binary-arm64/Packages\n"
        )
