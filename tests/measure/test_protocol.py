from __future__ import annotations

import io
import json

import msgspec
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from edgedeploy.device.connection import Completed
from edgedeploy.foundation.errors import DeviceError
from edgedeploy.foundation.sanitize import printable
from edgedeploy.measure import protocol
from edgedeploy.measure.protocol import Conversation, conversation


class Scripted:
    """A connection and a process in one, whose device says what a test wrote down."""

    address = "ssh://device"
    emulated = False
    virtual_machine = None
    counts_instructions = False
    emulator = None

    def __init__(self, said: bytes, *, exit_status: int = 1, errors: bytes = b"") -> None:
        self.stdin = io.BytesIO()
        self.stdout = io.BytesIO(said)
        self._completed = Completed(exit_status=exit_status, stdout=b"", stderr=errors)

    def wait(self, timeout_s=None):
        return self._completed

    def kill(self):
        pass


def talk(said: bytes, **ended) -> Conversation:
    scripted = Scripted(said, **ended)
    return Conversation(scripted, scripted)


def line(message: object) -> bytes:
    return json.dumps(message).encode() + b"\n"


# -- what is well-formed


@pytest.mark.parametrize(
    "array",
    [
        np.arange(6, dtype=np.float32).reshape(2, 3),
        np.array(3.5),
        np.zeros((0, 4), np.int8),
        np.array([True, False]),
        np.arange(4, dtype=">i4"),
        np.arange(6, dtype=np.uint16).reshape(2, 3).T,
        np.array([["a\0b", "e\u0301 é 😀"], ["", "line\nnew"]], object),
        np.array("one", object),
        np.zeros((0, 2), object),
    ],
)
def test_arrays_arrive_as_they_were_sent(array):
    sender = Scripted(b"")
    Conversation(sender, sender).send({"do": "infer", "is": "infer"}, {"x": array})
    message, arrays = talk(sender.stdin.getvalue()).receive()
    assert message["do"] == "infer"
    np.testing.assert_array_equal(arrays["x"], array)
    assert arrays["x"].dtype == array.dtype.newbyteorder("=")
    assert arrays["x"].shape == array.shape


@pytest.mark.parametrize(
    ("header", "content"),
    [
        ({"shape": [2], "text_bytes": 4}, b"\0\0\0\0"),
        ({"shape": [1], "text_bytes": 5}, b"\2\0\0\0a"),
        ({"shape": [1], "text_bytes": 6}, b"\1\0\0\0ab"),
        ({"shape": [1], "text_bytes": 5}, b"\1\0\0\0\xff"),
        ({"shape": [1], "text_bytes": 5}, b"\xff\xff\xff\xffa"),
        ({"shape": [1]}, b""),
        ({"shape": [1 << 30], "text_bytes": 4}, b"\0\0\0\0"),
        ({"shape": [0, 1 << 30, 1 << 30], "text_bytes": 0}, b""),
        ({"shape": [1], "text_bytes": -1}, b""),
        ({"shape": [1], "text_bytes": 1 << 40}, b""),
    ],
)
def test_text_that_is_none_is_not_the_protocol(header, content):
    said = line({"is": "infer", "arrays": [{"name": "y", "dtype": "str", **header}]}) + content
    with pytest.raises(DeviceError, match="not its protocol"):
        talk(said).receive()


def test_progress_is_left_out_of_an_answer():
    said = line({"is": "progress"}) + line({"is": "progress"}) + line({"is": "load", "load_ms": 3.5})
    assert talk(said).ask({"do": "load"}) == {"is": "load", "load_ms": 3.5}


def test_an_error_on_the_device_is_told_without_what_a_terminal_would_obey():
    with pytest.raises(DeviceError, match="cannot do that") as caught:
        talk(line({"is": "error", "what": "no \x1b[2Jmemory"})).receive()
    assert caught.value.why == "no �[2Jmemory"


# -- what is not


@pytest.mark.parametrize(
    "said",
    [
        b"Welcome to the device!\n",
        b"[1, 2]\n",
        b"{}\n",
        b'{"is": 5}\n',
        b'{"is": "\xff"}\n',
        b'{"is": ' + b"[" * 200_000 + b"\n",
        b'{"is": "infer", "arrays": 5}\n',
        line({"is": "infer", "arrays": [{"name": "y", "dtype": "object", "shape": [1]}]}),
        line({"is": "infer", "arrays": [{"name": "y", "dtype": "1000000f4", "shape": [1]}]}),
        line({"is": "infer", "arrays": [{"name": "y", "dtype": "float32", "shape": [-1, -1]}]}),
        line({"is": "infer", "arrays": [{"name": "y", "dtype": "float32", "shape": [0, 10**30]}]}),
        line({"is": "infer", "arrays": [{"name": "y", "dtype": "float32", "shape": [1] * 70}]}),
        line({"is": "infer", "arrays": [{"name": "y", "dtype": "float32", "shape": [2**30, 2**30]}]}),
        line({"is": "infer", "arrays": [{"name": str(i), "dtype": "uint8", "shape": [2**29]} for i in range(3)]}),
        line({"is": "infer", "arrays": [{"name": "y", "dtype": "float32", "shape": [0, 2**62]}]}),
        line({"is": "load", "load_ms": 10**400}),
        line({"is": "load", "facts": {"sizes": [1 << 64]}}),
        b"x" * (2 << 20),
    ],
)
def test_what_is_not_the_protocol_is_refused(said):
    with pytest.raises(DeviceError, match="not its protocol"):
        talk(said).receive()


def test_too_much_is_refused_before_it_is_read():
    scripted = Scripted(line({"is": "infer", "arrays": [{"name": "y", "dtype": "float64", "shape": [2**28]}]}))
    scripted.stdout.read = None  # type: ignore[assignment]
    with pytest.raises(DeviceError, match="not its protocol"):
        Conversation(scripted, scripted).receive()


@given(st.binary(max_size=300))
def test_no_bytes_make_a_traceback(said):
    with pytest.raises(DeviceError):
        talk(said).receive()


_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=5),
    lambda values: st.lists(values, max_size=3) | st.dictionaries(st.text(max_size=5), values, max_size=3),
)
_HEADER = st.fixed_dictionaries(
    {
        "name": st.text(max_size=3) | _JSON,
        "dtype": st.sampled_from(["float32", "int64", "bool", "object", "V8", "datetime64[s]"]) | _JSON,
        "shape": st.lists(st.integers(-2, 5) | st.integers(), max_size=4) | _JSON,
    }
)


@pytest.mark.slow
@given(st.lists(_HEADER, max_size=3) | _JSON, st.sampled_from(["infer", "error", 5]), st.binary(max_size=400))
def test_no_message_makes_a_traceback(headers, kind, content):
    try:
        _, arrays = talk(line({"is": kind, "what": headers, "arrays": headers}) + content).receive()
    except DeviceError:
        return
    assert sum(array.nbytes for array in arrays.values()) <= len(content)


@given(_JSON, st.sampled_from([int, float, list[int], dict[str, object], int | None]))
def test_a_field_is_of_its_kind_or_refused(value, kind):
    try:
        found = talk(b"").field({"is": "hello", "value": value}, "value", kind)
    except DeviceError:
        return
    assert msgspec.convert(found, kind) == found


def test_an_array_that_is_not_there_is_told():
    with pytest.raises(DeviceError, match="not its protocol") as caught:
        talk(b"").output({}, "scores")
    assert "scores" in caught.value.why


# -- how it ends


def test_an_end_in_an_array_is_told_with_what_the_device_said():
    said = line({"is": "infer", "arrays": [{"name": "y", "dtype": "float32", "shape": [100]}]}) + b"1234"
    with pytest.raises(DeviceError, match="in the middle of an array") as caught:
        talk(said, errors=b"first\nTraceback\nMemoryError: 4 GB \x1b[31m\n").receive()
    assert "MemoryError: 4 GB �[31m" in caught.value.why


def test_a_process_that_was_killed_is_told_apart():
    with pytest.raises(DeviceError) as caught:
        talk(b"", exit_status=137).receive()
    assert "memory" in caught.value.why and "dmesg" in caught.value.hint


def test_a_runner_that_dies_on_the_device_is_told(local, make_release):
    with (
        pytest.raises(DeviceError, match="exit status 3") as caught,
        conversation(local, make_release(run="echo 'this release is for aarch64' >&2; exit 3")),
    ):
        pass
    assert "for aarch64" in caught.value.why


def test_a_runner_that_is_killed_while_it_works_is_told(local, make_release):
    with pytest.raises(DeviceError, match="exit status 137"), conversation(local, make_release()) as talk:
        talk.process.kill()
        talk.ask({"do": "load"})


def test_a_device_that_hangs_is_noticed(local, make_release):
    release = make_release(run="exec sleep 600")
    with pytest.raises(DeviceError, match="silent"), conversation(local, release, silence_limit_s=0.3):
        pass


@pytest.mark.slow
def test_a_runner_that_reports_progress_for_ever_is_stopped(local, make_release):
    release = make_release(run="""while :; do echo '{"is": "progress"}'; sleep 0.02; done""")
    with (
        pytest.raises(DeviceError, match=r"did not come to an end within 0\.5 s"),
        conversation(local, release, silence_limit_s=0.5),
    ):
        pass


@pytest.mark.slow
def test_a_runner_that_takes_no_input_is_stopped(local, make_release):
    hello = json.dumps({"is": "hello", "protocol": protocol.PROTOCOL})
    release = make_release(run=f"echo '{hello}'; exec sleep 600")
    with (
        pytest.raises(DeviceError, match=r"silent for 0\.5 s"),
        conversation(local, release, silence_limit_s=0.5) as talk,
    ):
        talk.send({"do": "infer"}, {"x": np.zeros(8 << 20, np.uint8)})
        talk.receive()


def test_another_protocol_is_refused(local, make_release, monkeypatch):
    monkeypatch.setattr(protocol, "PROTOCOL", 2)
    with pytest.raises(DeviceError, match="another version"), conversation(local, make_release()):
        pass


def test_the_runner_ends_with_the_block_however_it_ends(local, make_release, monkeypatch):
    with pytest.raises(KeyboardInterrupt), conversation(local, make_release()) as talk:
        process = talk.process
        raise KeyboardInterrupt
    assert process.wait(10.0).exit_status == 137
    with conversation(local, make_release()) as talk:
        wait, ended = talk.process.wait, []
        monkeypatch.setattr(talk.process, "wait", lambda timeout_s: ended.append(wait(timeout_s)))
    assert [completed.exit_status for completed in ended] == [0]


def test_text_from_a_device_is_made_printable():
    assert printable("Debian é\t\x1b]0;x\x07") == "Debian é��]0;x�"
    assert printable("x" * 300) == "x" * 200 + "…"
