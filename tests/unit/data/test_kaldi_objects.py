"""Kaldi's objects: what is written is read, kaldiio's bytes are read and written, damage is one line."""

from __future__ import annotations

import io
from pathlib import Path

import kaldiio
import numpy as np
import pytest

from spk.data.kaldi_objects import ObjectReader, ObjectWriter, open_object
from spk.errors import InputError

SYMMETRIC = np.array([[1.0, 0.1, -3.0], [0.1, 2.5, 1e-7], [-3.0, 1e-7, 7.0]])


def write(path: Path, binary: bool, double: bool) -> Path:
    with path.open("wb") as file:
        writer = ObjectWriter(file, binary=binary, double=double)
        writer.token("<Thing>", "<Part>")
        writer.integer(-7)
        writer.number(1 / 3)
        writer.vector([1 / 3, -2, 1e-30, np.inf])
        writer.vector([])
        writer.matrix([[1, 2.25, np.pi], [4, 5, 6]])
        writer.matrix(np.zeros((0, 0)))
        writer.packed(SYMMETRIC)
        writer.token("</Thing>")
    return path


@pytest.mark.parametrize("double", [False, True])
@pytest.mark.parametrize("binary", [False, True])
def test_what_is_written_is_read_to_the_last_bit(tmp_path, binary, double):
    reader = open_object(write(tmp_path / "thing", binary, double))
    rounded = np.float64 if double else np.float32
    assert reader.binary == binary
    assert reader.peek() == "<Thing>"
    reader.expect("<Thing>", "<Part>")
    assert reader.integer() == -7
    assert rounded(reader.number()) == rounded(1 / 3)
    for expected in ([1 / 3, -2, 1e-30, np.inf], []):
        vector = reader.vector()
        assert vector.dtype == np.float64
        np.testing.assert_array_equal(vector.astype(rounded), np.array(expected, rounded))
    np.testing.assert_array_equal(reader.matrix().astype(rounded), np.array([[1, 2.25, np.pi], [4, 5, 6]], rounded))
    assert reader.matrix().shape == (0, 0)
    np.testing.assert_array_equal(reader.packed().astype(rounded), SYMMETRIC.astype(rounded))
    assert reader.token() == "</Thing>"
    assert reader.peek() == ""


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_vectors_and_matrices_are_the_bytes_of_kaldiio(tmp_path, dtype):
    for array in (np.arange(5, dtype=dtype), np.arange(6, dtype=dtype).reshape(2, 3)):
        kaldiio.save_mat(str(tmp_path / "mat"), array)
        buffer = io.BytesIO()
        writer = ObjectWriter(buffer, double=dtype == np.float64)
        (writer.vector if array.ndim == 1 else writer.matrix)(array)
        assert buffer.getvalue() == (tmp_path / "mat").read_bytes()
        reader = open_object(tmp_path / "mat")
        np.testing.assert_array_equal(reader.vector() if array.ndim == 1 else reader.matrix(), array)


def test_a_binary_packed_matrix_is_its_lower_triangle_by_rows(tmp_path):
    values = np.array([1, 2, 3, 4, 5, 6], "<f4")
    (tmp_path / "sp").write_bytes(b"\0BFP \4\3\0\0\0" + values.tobytes())
    np.testing.assert_array_equal(open_object(tmp_path / "sp").packed(), [[1, 2, 4], [2, 3, 5], [4, 5, 6]])


def test_text_is_read_as_kaldi_breaks_its_lines(tmp_path):
    """The head of an i-vector extractor, and what a Gaussian's covariance looks like."""
    head = "<IvectorExtractor> <w>  [ ]\n<w_vec>  [ 0.25 0.75 ]\n"
    text = head + "<M> 1  [\n  1 2 \n  3 4 ]\n<S> [\n1.5 \n-0.5 2 \n]\n<O> 43.9 "
    (tmp_path / "text").write_text(text)
    reader = open_object(tmp_path / "text")
    reader.expect("<IvectorExtractor>", "<w>")
    assert reader.matrix().shape == (0, 0)
    reader.expect("<w_vec>")
    np.testing.assert_array_equal(reader.vector(), [0.25, 0.75])
    reader.expect("<M>")
    assert reader.integer() == 1
    np.testing.assert_array_equal(reader.matrix(), [[1, 2], [3, 4]])
    reader.expect("<S>")
    np.testing.assert_array_equal(reader.packed(), [[1.5, -0.5], [-0.5, 2]])
    reader.expect("<O>")
    assert reader.number() == 43.9


def read_all(reader: ObjectReader) -> None:
    reader.expect("<Thing>", "<Part>")
    (
        reader.integer(),
        reader.number(),
        reader.vector(),
        reader.vector(),
        reader.matrix(),
        reader.matrix(),
        reader.packed(),
    )
    reader.expect("</Thing>")


@pytest.mark.parametrize("binary", [False, True])
def test_a_file_cut_anywhere_is_an_error_of_one_line_with_its_name(tmp_path, binary):
    whole = write(tmp_path / "thing", binary, double=False).read_bytes()
    read_all(open_object(tmp_path / "thing"))
    for size in range(1, len(whole) - 1):
        cut = tmp_path / "cut"
        cut.write_bytes(whole[:size])
        with pytest.raises(InputError, match=f"^{cut}: [^\n]*$"):
            read_all(open_object(cut))


@pytest.mark.parametrize(
    ("content", "method", "message"),
    [
        (b"", None, "is empty"),
        (b"\0B<Nnet> ", lambda reader: reader.expect("<Plda>"), r"byte 2: expected <Plda>, found '<Nnet> '; "),
        (b"\n <Nnet> ", lambda reader: reader.expect("<Plda>"), r"line 2: expected <Plda>, found '<Nnet> '; "),
        (b"\0BFM \4\1\0\0\0", ObjectReader.vector, "byte 2: expected a vector, found 'FM "),
        (b"\0BFV \4\xff\xff\xff\xff", ObjectReader.vector, "a vector has the size -1; the file is damaged"),
        (b"\0BFV \4\xff\xff\xff\x7f", ObjectReader.vector, "a vector ends at byte 8589934598, but the file has 10"),
        (b"\0BFV \2\1\0", ObjectReader.vector, "expected the size of a vector"),
        (b"\0B\4\1\0", ObjectReader.integer, "byte 2: expected a whole number"),
        (b"\0B\3\1\0\0", ObjectReader.number, "byte 2: expected a number"),
        (b"\0B", ObjectReader.token, "byte 2: expected a token, the file ends there"),
        (
            b"<A>\n1.5 ",
            lambda reader: [reader.token(), reader.integer()],
            "line 2: expected a whole number, found '1.5 '",
        ),
        (b"one ", ObjectReader.number, "line 1: expected a number, found 'one '"),
        (b"[ 1 x ]", ObjectReader.vector, "line 1: expected a vector"),
        (b"[ 1 2", ObjectReader.vector, "line 1: expected a vector"),
        (b"[\n 1 2\n 3 4 ]", ObjectReader.vector, "line 1: expected a vector"),
        (b"[\n 1 2\n 3 ]", ObjectReader.matrix, "as many values in every row"),
        (b"[\n 1\n 3 4 5 ]", ObjectReader.packed, "expected a packed symmetric matrix"),
    ],
)
def test_damage_says_what_was_expected_and_what_is_there(tmp_path, content, method, message):
    (tmp_path / "damaged").write_bytes(content)
    with pytest.raises(InputError, match=f"^{tmp_path}/damaged: .*{message}"):
        method(open_object(tmp_path / "damaged"))


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(InputError, match="absent: no such file"):
        open_object(tmp_path / "absent")


def test_a_directory_in_place_of_a_file_is_named(tmp_path):
    with pytest.raises(InputError, match="is a directory; give the file in it"):
        open_object(tmp_path)
