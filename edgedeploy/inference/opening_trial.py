"""Open an ONNX model in a process of its own first, where it has control flow.

onnxruntime's optimizer may end the process over a graph that it does not expect, instead of raising an error: known of
what it does around subgraphs. Run as `python -m edgedeploy.inference.opening_trial`, with the model on standard input.
"""

from __future__ import annotations

import hashlib
import resource
import signal
import subprocess
import sys
import tempfile

from edgedeploy.foundation.errors import UnsupportedError
from edgedeploy.foundation.programs import end_with_parent, last_lines

_SUBGRAPHS = ("If", "Loop", "Scan", "SequenceMap")
_OPERATOR_FIELD = 0x22
"""`op_type` of a NodeProto, as protobuf writes it: field 4, of a length that follows (onnx/onnx.proto)."""
_LIMIT_S = 600.0
"""Long on purpose: a large model on a busy machine must not be refused for being slow to open."""
_HINT = (
    "export the model without control flow (If, Loop, Scan), or leave the layers whose results its branches read in "
    "float: keep_float in the recipe"
)


def try_opening(model: bytes) -> None:
    """Open a serialized model in a process of its own, with graph optimizations, if it may have control flow.

    What onnxruntime refuses in words is not refused here. The outcome is remembered for as long as this process lives.

    Raises:
        UnsupportedError: the other process died, or did not come to an end.
    """
    # In weights these bytes may stand by chance, which costs a trial.
    if not any(bytes((_OPERATOR_FIELD, len(name))) + name.encode() in model for name in _SUBGRAPHS):
        return
    digest = hashlib.sha256(model).hexdigest()
    why = _known.get(digest)
    if why is None:
        why = _known[digest] = _outcome(model)
    if why:
        raise UnsupportedError("onnxruntime does not survive opening the model", why=why, hint=_HINT)


_known: dict[str, str] = {}
"""Why a model cannot be opened, by its SHA-256; empty where it can."""


def _outcome(model: bytes) -> str:
    """Return why the model cannot be opened; empty where it can, or where onnxruntime has own words about it."""
    with tempfile.TemporaryFile() as content:
        content.write(model)
        content.seek(0)
        try:
            done = subprocess.run(
                [sys.executable, "-m", __name__],
                stdin=content,
                capture_output=True,
                timeout=_LIMIT_S,
                check=False,
                preexec_fn=end_with_parent,
            )
        except subprocess.TimeoutExpired:
            return f"opening it with graph optimizations did not come to an end within {_LIMIT_S:g} s"
    if done.returncode >= 0:
        return ""
    died = f"a process that opens it with graph optimizations dies of {signal.Signals(-done.returncode).name}"
    words = last_lines(done.stderr, count=1)
    return f"{died}: {words}" if words else died


def main() -> int:
    from edgedeploy.inference.onnxruntime import open_model

    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))  # nobody would look at the core dump
    open_model(sys.stdin.buffer.read(), exact=False)
    return 0


if __name__ == "__main__":
    sys.exit(main())
