from __future__ import annotations

import io
import struct
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from edgedeploy.datasets.npz import NpzReader, npz_bytes
from edgedeploy.foundation.errors import DatasetError, EdgedeployError, InvalidFileError


def write_member(path: Path, name: str, content: bytes, *, declared_size: int | None = None) -> Path:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr(name, content)
    return path


def npy(header: str, data: bytes = b"", *, version: tuple[int, int] = (1, 0), length: int | None = None) -> bytes:
    form = "<H" if version == (1, 0) else "<I"
    text = header.encode("latin1")
    return b"\x93NUMPY" + bytes(version) + struct.pack(form, len(text) if length is None else length) + text + data


@pytest.mark.slow
@given(
    arrays=st.dictionaries(
        st.text(st.characters(min_codepoint=33, max_codepoint=126, exclude_characters="/\\"), min_size=1, max_size=8),
        hnp.arrays(
            st.sampled_from(["f4", "f8", "i1", "u1", "i8", "bool", ">f4", "U3"]),
            hnp.array_shapes(max_dims=3, min_side=0),
        ),
        max_size=3,
    ),
    size=st.integers(1, 4),
)
def test_slices_joined_are_the_array(tmp_path_factory, arrays, size):
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    path.write_bytes(npz_bytes(arrays))
    with NpzReader(path) as reader:
        assert set(reader.headers) == set(arrays)
        for name, array in arrays.items():
            np.testing.assert_array_equal(reader.whole(name), array)
            slices = list(reader.slices(name, size))
            assert all(len(part) <= size for part in slices)
            np.testing.assert_array_equal(np.concatenate([array[:0], *slices]), array)
            assert reader.whole(name).dtype.isnative


def test_same_arrays_give_the_same_bytes_and_numpy_reads_them(tmp_path):
    arrays = {"input:x": np.arange(6, dtype=np.float32).reshape(2, 3), "scalar": np.array(3), "t": np.ones((2, 3)).T}
    assert npz_bytes(arrays) == npz_bytes({name: array.copy() for name, array in arrays.items()})
    with np.load(io.BytesIO(npz_bytes(arrays)), allow_pickle=False) as read:
        for name, array in arrays.items():
            np.testing.assert_array_equal(read[name], array)


def test_an_array_that_inflates_to_more_than_fits_is_refused_unread(tmp_path, monkeypatch):
    import edgedeploy.datasets.npz

    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.zeros((4, 1000), np.float32))
    monkeypatch.setattr(edgedeploy.datasets.npz, "SLICE_LIMIT_BYTES", 8000)
    with NpzReader(path) as reader:
        assert len(list(reader.slices("x", 2))) == 2
        for read in (lambda: list(reader.slices("x", 3)), lambda: reader.whole("x")):
            with pytest.raises(DatasetError, match="at once"):
                read()


def test_two_streams_of_one_file_run_side_by_side(tmp_path):
    path = tmp_path / "a.npz"
    np.savez_compressed(path, x=np.arange(100), y=np.arange(100) * 2)
    with NpzReader(path) as reader:
        for x, y in zip(reader.slices("x", 7), reader.slices("y", 7), strict=True):
            np.testing.assert_array_equal(x * 2, y)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000000000,)}"), "4,000,000,000"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (-1, 3)}"), "damaged"),
        (npy("{'descr': '<f4', 'fortran_order': True, 'shape': (2, 2)}", bytes(16)), "Fortran order"),
        (npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", b"cos\nsystem\n"), "Python objects"),
        (npy("{'descr': [('a', '<f4')], 'fortran_order': False, 'shape': (1,)}", bytes(4)), "expected numbers"),
        (npy("{'descr': '<f4', 'fortran_order': False, 'shape': (3,)}", bytes(8)), "takes"),
        (npy("__import__('os').system('true')"), "header cannot be read"),
        (npy("(" * 5000), "header cannot be read"),
        (npy("{}", version=(2, 0), length=0xFFFFFFFF), "at most"),
        (npy("{}", version=(3, 0)), "version"),
        (b"", "header cannot be read"),
        (b"\x93NUMPY", "header cannot be read"),
    ],
)
def test_a_hostile_array_is_refused(tmp_path, content, words):
    path = write_member(tmp_path / "a.npz", "x.npy", content)
    with pytest.raises(DatasetError) as caught:
        NpzReader(path)
    assert words in str(caught.value)
    assert "'x'" in str(caught.value)


def test_what_is_not_an_array_is_refused(tmp_path):
    with pytest.raises(DatasetError, match=r"notes\.txt"):
        NpzReader(write_member(tmp_path / "a.npz", "notes.txt", b"hello"))


def test_an_array_that_is_there_twice_is_refused(tmp_path):
    path = tmp_path / "a.npz"
    with zipfile.ZipFile(path, "w") as archive, pytest.warns(UserWarning, match="Duplicate"):
        for _ in range(2):
            archive.writestr("x.npy", npy("{'descr': '<f4', 'fortran_order': False, 'shape': (0,)}"))
    with pytest.raises(DatasetError, match="twice"):
        NpzReader(path)


@pytest.mark.parametrize("content", [b"", b"\x93NUMPY", b"PK\x03\x04", b"hello" * 100])
def test_what_is_no_zip_archive_is_refused(tmp_path, content):
    path = tmp_path / "a.npz"
    path.write_bytes(content)
    with pytest.raises(InvalidFileError, match=r"not an \.npz"):
        NpzReader(path)


def test_a_missing_file_and_a_folder_are_refused(tmp_path):
    with pytest.raises(InvalidFileError, match="does not exist"):
        NpzReader(tmp_path / "none.npz")
    with pytest.raises(InvalidFileError, match="folder"):
        NpzReader(tmp_path)


def test_damaged_data_is_noticed_while_it_streams(tmp_path):
    path = tmp_path / "a.npz"
    path.write_bytes(npz_bytes({"x": np.zeros((64, 4096), np.float32)}))
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.write_bytes(bytes(content))
    with NpzReader(path) as reader, pytest.raises(DatasetError, match="damaged"):
        list(reader.slices("x", 8))


@pytest.mark.slow
@settings(max_examples=300)
@given(data=st.data())
def test_no_damage_leads_to_anything_but_an_error_in_words(tmp_path_factory, data):
    """Whatever bytes of a file are changed or cut off: it is read, or refused with one of our errors."""
    buffer = io.BytesIO()
    save = data.draw(st.sampled_from([np.savez, np.savez_compressed]))
    save(buffer, x=np.arange(12, dtype=np.float32).reshape(4, 3), labels=np.arange(4))
    content = bytearray(buffer.getvalue())
    for _ in range(data.draw(st.integers(1, 6))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    content = content[: data.draw(st.one_of(st.just(len(content)), st.integers(0, len(content))))]
    path = tmp_path_factory.mktemp("npz") / "a.npz"
    path.write_bytes(bytes(content))
    try:
        with NpzReader(path) as reader:
            for name, header in reader.headers.items():
                if header.shape:
                    assert sum(len(part) for part in reader.slices(name, 3)) == header.shape[0]
    except EdgedeployError as error:
        assert str(path) in str(error)


@given(header=st.text(st.characters(max_codepoint=255), max_size=80), version=st.sampled_from([(1, 0), (2, 0), (9, 9)]))
def test_no_header_leads_to_anything_but_an_error_in_words(tmp_path_factory, header, version):
    path = write_member(tmp_path_factory.mktemp("npz") / "a.npz", "x.npy", npy(header, version=version))
    with pytest.raises(DatasetError):
        NpzReader(path)


def test_an_archive_that_lists_more_than_any_data_needs_is_refused_before_the_list_is_read(tmp_path):
    """The list of members is read at once: its size is what the end of the archive says of it."""
    path = tmp_path / "many.npz"
    end = struct.pack("<4s4H2LH", b"PK\x05\x06", 0, 0, 1, 1, 100_000_000, 0, 0)
    path.touch()
    with path.open("r+b") as file:
        file.truncate(100_000_000)
        file.seek(0, io.SEEK_END)
        file.write(end)
    with pytest.raises(InvalidFileError) as caught:
        NpzReader(path)
    assert "its list of arrays" in caught.value.why


def test_more_arrays_than_any_model_has_inputs_are_refused(tmp_path):
    path = tmp_path / "many.npz"
    with zipfile.ZipFile(path, "w") as archive:
        for number in range(10_001):
            archive.writestr(f"{number}.npy", b"")
    with pytest.raises(DatasetError, match="10,001 arrays"):
        NpzReader(path)


def test_four_gigabytes_of_nothing_are_refused_unread(tmp_path):
    """A member says how large it is stored and how large it is; zeros inflate a thousandfold."""
    size_bytes = 0xFFFF_FFFE
    header = npy("{'descr': '|u1', 'fortran_order': False, 'shape': (4294967220,)}")
    assert len(header) + 4294967220 == size_bytes
    path = write_member(tmp_path / "bomb.npz", "x.npy", header)
    content = bytearray(path.read_bytes())
    for mark, offset in ((b"PK\x01\x02", 24), (b"PK\x03\x04", 22)):
        at = content.index(mark) + offset
        content[at : at + 4] = struct.pack("<L", size_bytes)
    path.write_bytes(content)
    with pytest.raises(DatasetError, match=r"inflates to 4\.29 GB"):
        NpzReader(path)
