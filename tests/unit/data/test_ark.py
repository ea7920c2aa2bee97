"""Reading arks: what Kaldi's own programs decoded, whole and by crop, and what is said of a damaged ark."""

from __future__ import annotations

import pickle
import struct
from pathlib import Path

import kaldiio
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from spk.data.ark import FeatureReader, copy_wrapped, read_vector, read_vectors
from spk.data.ark_format import COMPRESSION_METHODS, encode_matrix
from spk.errors import InputError

KALDI = Path(__file__).parents[2] / "data" / "kaldi"


def write_ark(path: Path, records: dict[str, bytes]) -> Path:
    """Records (from \\0B on) as path.ark with its path.scp; returns the scp."""
    lines = []
    with path.with_suffix(".ark").open("wb") as ark:
        for utterance, record in records.items():
            ark.write(f"{utterance} ".encode())
            lines.append(f"{utterance} {path.with_suffix('.ark')}:{ark.tell()}\n")
            ark.write(record)
    path.with_suffix(".scp").write_text("".join(lines))
    return path.with_suffix(".scp")


def naive_crop(matrix: np.ndarray, start: int, length: int) -> np.ndarray:
    return np.stack([matrix[(start + frame) % len(matrix)] for frame in range(length)])


@pytest.fixture
def in_kaldi(monkeypatch):
    """The oracle scps name their arks relative to their folder."""
    monkeypatch.chdir(KALDI)


@pytest.mark.parametrize("method", range(1, 8))
def test_compressed_arks_decode_as_kaldi_does_whole_and_by_crop(method, in_kaldi):
    expected = dict(kaldiio.load_ark(f"decompressed{method}.ark"))
    reader = FeatureReader(f"compressed{method}.scp")
    assert reader.dim == 40
    assert reader.utterances == list(expected)
    # Two float32 roundings in another order than Kaldi's: at values near 20, 2e-6 is one step.
    for index, utterance in enumerate(reader.utterances):
        np.testing.assert_allclose(reader.whole(index), expected[utterance], rtol=2e-7, atol=2e-7)
    random = np.random.default_rng(method)
    indices, starts = random.integers(0, 3, 100), random.integers(0, 198, 100)
    for length in (1, 7, 200, 450):
        crops = reader.crops(indices, starts, length)
        assert crops.dtype == np.float32 and crops.flags.c_contiguous
        naive = [naive_crop(expected[reader.utterances[i]], s, length) for i, s in zip(indices, starts, strict=True)]
        np.testing.assert_allclose(crops, np.stack(naive), rtol=2e-7, atol=2e-7)


@pytest.mark.parametrize("method", COMPRESSION_METHODS)
def test_compression_writes_the_very_bytes_that_kaldi_writes(method):
    made = b"".join(
        f"{utterance} ".encode() + encode_matrix(matrix, method)
        for utterance, matrix in kaldiio.load_ark(str(KALDI / "fbank40.ark"))
    )
    assert made == (KALDI / (f"compressed{method}.ark" if method else "fbank40.ark")).read_bytes()


@pytest.mark.parametrize("rows", [1, 2, 3, 4, 5, 8, 9, 50])
@pytest.mark.parametrize("method", [1, 2, 3, 5])
def test_compression_of_few_rows_is_within_its_step_of_the_values(method, rows, tmp_path):
    matrix = np.random.default_rng(rows).normal(size=(rows, 3)).astype(np.float32)
    reader = FeatureReader(write_ark(tmp_path / "x", {"u": encode_matrix(matrix, method)}))
    step = (matrix.max() - matrix.min()) / (65535 if method == 3 or (method == 1 and rows <= 8) else 63)
    assert np.abs(reader.whole(0) - matrix).max() <= step


@pytest.mark.parametrize("method", [1, 3, 5])
def test_a_constant_matrix_survives_compression(method, tmp_path):
    matrix = np.full((20, 4), -7.25, np.float32)
    reader = FeatureReader(write_ark(tmp_path / "x", {"u": encode_matrix(matrix, method)}))
    np.testing.assert_allclose(reader.whole(0), matrix, atol=1e-3)


@pytest.mark.filterwarnings("error")
def test_a_column_whose_percentiles_rounding_makes_equal_is_told_from_its_neighbours_and_reads_back(tmp_path):
    """One code of 65,535 is less than float32 tells apart at 1e6 here, but not in the second column."""
    matrix = np.stack([np.full(50, 1e6), np.linspace(1e6, 1e6 + 1, 50)], axis=1).astype(np.float32)
    scp = write_ark(tmp_path / "x", {"one": encode_matrix(matrix, 2)})
    np.testing.assert_allclose(FeatureReader(scp).whole(0), matrix, atol=0.1)


def test_compression_refuses_what_it_cannot_hold():
    with pytest.raises(ValueError, match="not finite"):
        encode_matrix(np.array([[np.nan]]), 1)
    with pytest.raises(ValueError, match="number 8"):
        encode_matrix(np.ones((2, 2)), 8)
    with pytest.raises(ValueError, match="shape"):
        encode_matrix(np.ones((0, 2)), 1)


def test_plain_and_compressed_arks_mix_in_one_batch(tmp_path):
    random = np.random.default_rng(1)
    matrices = {f"u{i}": random.normal(size=(20 + i, 5)) for i in range(6)}
    kaldiio.save_ark(str(tmp_path / "double.ark"), {"u0": matrices["u0"]}, scp=str(tmp_path / "double.scp"))
    single = {name: matrices[name].astype(np.float32) for name in ("u1", "u2")}
    kaldiio.save_ark(str(tmp_path / "single.ark"), single, scp=str(tmp_path / "single.scp"))
    write_ark(
        tmp_path / "packed",
        {
            name: encode_matrix(matrices[name], method)
            for name, method in zip(("u3", "u4", "u5"), (2, 3, 5), strict=True)
        },
    )
    scp = tmp_path / "all.scp"
    scp.write_text("".join((tmp_path / f"{name}.scp").read_text() for name in ("double", "single", "packed")))
    assert b"\0BDM " in (tmp_path / "double.ark").read_bytes()
    reader = FeatureReader(scp)
    order, starts = [5, 0, 3, 1, 4, 2, 0], [3, 0, 22, 20, 7, 1, 19]
    for crop, index, start in zip(reader.crops(order, starts, 30), order, starts, strict=True):
        expected = naive_crop(matrices[f"u{index}"], start, 30)
        np.testing.assert_allclose(crop, expected, atol={3: 0.1, 4: 1e-4, 5: 0.03}.get(index, 1e-6))


@given(st.integers(1, 9), st.integers(1, 40), st.data())
def test_frames_past_the_end_wrap_to_the_start_as_often_as_needed(num_frames, length, data):
    start = data.draw(st.integers(0, num_frames - 1))
    source = np.arange(num_frames * 2).reshape(num_frames, 2)
    target = np.empty((length, 2), source.dtype)
    copy_wrapped(target, source, start)
    np.testing.assert_array_equal(target, naive_crop(source, start, length))


def test_chosen_utterances_come_in_the_order_that_was_asked_for(tmp_path):
    scp = write_ark(tmp_path / "x", {name: encode_matrix(np.full((3, 2), i)) for i, name in enumerate("abc")})
    reader = FeatureReader(scp, ["c", "a"])
    assert reader.utterances == ["c", "a"] and len(reader) == 2
    np.testing.assert_array_equal(reader.crops([0, 1], [0, 0], 1)[:, 0, 0], [2, 0])
    with pytest.raises(InputError, match="2 of 3 utterances, first 'x'"):
        FeatureReader(scp, ["a", "x", "y"])


def test_a_reader_is_pickled_without_its_maps(in_kaldi):
    reader = FeatureReader("compressed1.scp")
    expected = reader.crops([0, 2], [5, 6], 20)
    copy = pickle.loads(pickle.dumps(reader))
    np.testing.assert_array_equal(copy.crops([0, 2], [5, 6], 20), expected)


def test_frames_are_counted_from_the_headers(in_kaldi):
    reader = FeatureReader("compressed3.scp")
    assert reader.num_frames().tolist() == [198, 199, 200]
    assert reader.num_frames([2, 0]).tolist() == [200, 198]


def test_a_vector_is_a_matrix_of_one_column(tmp_path):
    kaldiio.save_ark(str(tmp_path / "v.ark"), {"u": np.arange(5, dtype=np.float32)}, scp=str(tmp_path / "v.scp"))
    np.testing.assert_array_equal(FeatureReader(tmp_path / "v.scp").whole(0), np.arange(5)[:, None])


def test_more_arks_than_may_be_open_at_once_are_read(tmp_path, monkeypatch):
    monkeypatch.setattr("spk.data.ark.MOST_MAPS", 2)
    scps = [write_ark(tmp_path / f"{i}", {f"u{i}": encode_matrix(np.full((2, 1), i))}) for i in range(5)]
    (tmp_path / "all.scp").write_text("".join(scp.read_text() for scp in scps))
    reader = FeatureReader(tmp_path / "all.scp")
    assert reader.crops([4, 0, 3, 1, 2], [0] * 5, 1).ravel().tolist() == [4, 0, 3, 1, 2]


MATRIX = encode_matrix(np.ones((10, 3)))


@pytest.mark.parametrize(
    "damage, message",
    [
        (lambda ark, scp: ark.write_bytes(ark.read_bytes()[:-1]), "'v'.*truncated"),
        (lambda ark, scp: ark.write_bytes(ark.read_bytes()[:-125]), "'v'.*ends within the header"),
        (lambda ark, scp: ark.write_bytes(b""), "x.ark: is empty"),
        (lambda ark, scp: ark.unlink(), "x.ark: no such file"),
        (lambda ark, scp: scp.write_text(f"u {ark}:2\nv {ark}:3\n"), "'v'.*no binary matrix begins there"),
        (lambda ark, scp: scp.write_text(f"u {ark}:2\nv {ark}:99999\n"), "'v'.*no binary matrix begins there"),
        (lambda ark, scp: ark.write_bytes(ark.read_bytes()[:-135] + MATRIX.replace(b"FM", b"XM")), "no known kind.*XM"),
        (lambda ark, scp: scp.write_text(f"u {ark}:2\nv {ark}:2[0:5]\n"), "'v'.*range"),
        (lambda ark, scp: scp.write_text(f"u {ark}:2\nv cat {ark} |\n"), "'v'.*command"),
        (lambda ark, scp: scp.write_text(""), "x.scp: is empty"),
    ],
)
def test_damage_is_said_with_the_utterance_and_the_file(damage, message, tmp_path):
    scp = write_ark(tmp_path / "x", {"u": MATRIX, "v": MATRIX})
    assert FeatureReader(scp).num_frames().tolist() == [10, 10]
    damage(tmp_path / "x.ark", scp)
    with pytest.raises(InputError, match=message) as error:
        FeatureReader(scp).num_frames()
    assert "\n" not in str(error.value)


def test_damaged_values_in_a_header_are_said(tmp_path):
    scp = write_ark(tmp_path / "x", {"u": b"\0BFM " + struct.pack("<bibi", 4, -5, 4, 3) + bytes(60)})
    with pytest.raises(InputError, match=r"'u'.*damaged"):
        FeatureReader(scp)


def test_another_dimension_names_both_utterances(tmp_path):
    scp = write_ark(tmp_path / "x", {"u": MATRIX, "v": encode_matrix(np.ones((10, 4)))})
    with pytest.raises(InputError, match=r"'v': has 4 values a frame, but 'u' has 3"):
        FeatureReader(scp).whole(1)


def test_a_text_ark_is_refused_with_what_to_do(tmp_path):
    (tmp_path / "x.ark").write_text("u  [\n  1 2 \n  3 4 ]\n")
    (tmp_path / "x.scp").write_text(f"u {tmp_path}/x.ark:2\n")
    with pytest.raises(InputError, match=r"text form.*copy-feats"):
        FeatureReader(tmp_path / "x.scp")


def test_a_crop_that_starts_past_the_end_is_refused(in_kaldi):
    with pytest.raises(InputError, match=r"'utt0': has 198 frames, .* at frame 198; utt2num_frames"):
        FeatureReader("compressed1.scp").crops([1, 0], [198, 198], 10)


def test_embeddings_are_read_from_float_and_double_vectors_and_from_text(tmp_path):
    random = np.random.default_rng(0)
    expected = random.normal(size=(7, 16)).astype(np.float32)
    names = [f"u{i}" for i in range(7)]
    for suffix, dtype in (("f", np.float32), ("d", np.float64)):
        records = dict(zip(names, expected.astype(dtype), strict=True))
        kaldiio.save_ark(str(tmp_path / f"{suffix}.ark"), records, scp=str(tmp_path / f"{suffix}.scp"))
        utterances, vectors = read_vectors(tmp_path / f"{suffix}.scp")
        assert utterances == names and vectors.dtype == np.float32
        np.testing.assert_array_equal(vectors, expected)
    kaldiio.save_ark(str(tmp_path / "t.ark"), records, scp=str(tmp_path / "t.scp"), text=True)
    np.testing.assert_allclose(read_vectors(tmp_path / "t.scp")[1], expected, rtol=1e-5)
    utterances, vectors = read_vectors(tmp_path / "f.scp", ["u5", "u2"])
    assert utterances == ["u5", "u2"]
    np.testing.assert_array_equal(vectors, expected[[5, 2]])


def test_crop_embeddings_are_read_as_a_block(tmp_path):
    expected = np.random.default_rng(0).normal(size=(5, 10, 4)).astype(np.float32)
    records = {f"u{i}": matrix for i, matrix in enumerate(expected)}
    kaldiio.save_ark(str(tmp_path / "x.ark"), records, scp=str(tmp_path / "x.scp"))
    np.testing.assert_array_equal(read_vectors(tmp_path / "x.scp")[1], expected)
    records["u3"] = expected[3][:9]
    kaldiio.save_ark(str(tmp_path / "x.ark"), records, scp=str(tmp_path / "x.scp"))
    with pytest.raises(InputError, match=r"'u3': has the shape \[9, 4\], but 'u0' has \[10, 4\]"):
        read_vectors(tmp_path / "x.scp")


def test_a_lone_vector_is_read_from_a_file_in_text_or_binary(tmp_path):
    (tmp_path / "mean.vec").write_text(" [ 1 -2.5 3e-2 ]\n")
    np.testing.assert_allclose(read_vector(tmp_path / "mean.vec"), [1, -2.5, 0.03], rtol=1e-6)
    (tmp_path / "lda.mat").write_text(" [\n  1 2 \n  3 4 ]\n")
    np.testing.assert_array_equal(read_vector(tmp_path / "lda.mat"), [[1, 2], [3, 4]])
    kaldiio.save_mat(str(tmp_path / "binary.vec"), np.arange(3, dtype=np.float32))
    np.testing.assert_array_equal(read_vector(tmp_path / "binary.vec"), [0, 1, 2])
    (tmp_path / "no.vec").write_text("hello")
    with pytest.raises(InputError, match=r"no\.vec: no vector or matrix"):
        read_vector(tmp_path / "no.vec")
