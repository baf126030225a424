"""What is known of a backend without loading it: what it runs, and what it needs on the board and on this machine."""

from __future__ import annotations

from typing import Literal

from msgspec import Struct

from edgedeploy.values.target import Architecture

Format = Literal["onnx", "tflite"]


class BackendFacts(Struct, frozen=True, kw_only=True):
    """The declaration of one backend: `FACTS` of its module in `compile/backends/`."""

    name: str
    """The module's name with `-` for `_`."""
    rank: int
    """Where it stands in lists, the smallest first. In which order `auto` tries backends, each target says itself."""
    formats: tuple[Format, ...]
    """Of the models that it can be given."""
    converts: tuple[Format, ...] = ()
    """Those of `formats` that it turns into another format before it runs them."""
    architectures: tuple[Architecture, ...]
    """Of the boards that there is a runtime for."""
    needs_python: bool
    """Whether its runner is a Python program, so that the board must have a Python of the target's bits."""
    needs_glibc: bool
    """Whether it brings shared libraries that ask for the GNU C library."""
    profiles: bool
    """Whether its runner can say how long each operator takes."""
    onnxruntime_operators: bool = False
    """Whether it runs the operators that onnxruntime has beyond ONNX's own, those of the domain `com.microsoft`."""
    text: bool = False
    """Whether its runner takes inputs of text and gives outputs of text."""
    locks: tuple[str, ...] = ()
    """Requirements files beside its module: the packages, versions and hashes that boards can get."""
    extra: str = ""
    """The extra of edgedeploy that it needs on this machine; empty when the base installation is enough."""
    host_packages: tuple[str, ...] = ()
    """The packages of that extra that it cannot do without."""
    purpose: str = ""
    """What the extra is installed for, as `edgedeploy doctor` says it."""

    def unsupported_reason(self, architecture: str, format: Format) -> str | None:
        """Say why it runs no models of this format on this architecture; None when it can."""
        if format not in self.formats:
            return f"it runs {' and '.join(map(str.upper, self.formats))} models, and this is a .{format} one"
        if architecture not in self.architectures:
            return f"it has no runtime for {architecture}, only for {', '.join(self.architectures)}"
        return None
