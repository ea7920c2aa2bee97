"""Arks on a device, and streams of codes: the very crops that FeatureReader decodes, and what is said of damage."""

from __future__ import annotations

from pathlib import Path

import kaldiio
import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from unit.data.test_ark import write_ark

from spk.data import coded_crops, resident
from spk.data.ark import FeatureReader
from spk.data.ark_format import encode_matrix
from spk.data.coded_crops import decode_crops, read_codes
from spk.data.resident import ResidentArks
from spk.errors import InputError

CPU = torch.device("cpu")
LENGTHS = (1, 2, 5, 13, 30, 31, 64, 100)
KINDS = ("CM", "CM2", "CM3", "FM", "DM")


@pytest.fixture(scope="module")
def scp(tmp_path_factory) -> Path:
    """Utterances of every kind and length, in several arks, in an order that is not that of the arks."""
    folder, random = tmp_path_factory.mktemp("arks"), np.random.default_rng(0)
    lines = []
    for kind in KINDS:
        matrices = {f"{kind}-{length}": 20 * random.normal(size=(length, 7)) for length in LENGTHS}
        if kind == "DM":
            path = folder / "DM.scp"
            kaldiio.save_ark(str(folder / "DM.ark"), matrices, scp=str(path))
        else:
            method = {"CM": 2, "CM2": 3, "CM3": 5, "FM": 0}[kind]
            path = write_ark(folder / kind, {name: encode_matrix(m, method) for name, m in matrices.items()})
        lines += path.read_text().splitlines(keepends=True)
    (folder / "all.scp").write_text("".join(lines[index] for index in random.permutation(len(lines))))
    return folder / "all.scp"


def store_of(reader: FeatureReader) -> ResidentArks:
    return ResidentArks(reader, reader.num_frames(), CPU)


def assert_same_bits(features: torch.Tensor, expected: np.ndarray) -> None:
    assert features.dtype == torch.float32 and features.is_contiguous()
    np.testing.assert_array_equal(features.numpy().view(np.uint32), expected.view(np.uint32))


@settings(max_examples=60)
@given(data=st.data(), length=st.integers(1, 120), few=st.booleans())
def test_crops_of_all_kinds_are_the_readers_bit_for_bit(data, length, few, scp):
    reader = FeatureReader(scp)
    indices = data.draw(st.lists(st.integers(0, len(reader) - 1), min_size=1, max_size=12))
    starts = [data.draw(st.integers(0, int(count) - 1)) for count in reader.num_frames(indices)]
    expected = FeatureReader(scp).crops(indices, starts, length)
    with pytest.MonkeyPatch.context() as patch:
        if few:  # at once, so that a batch takes several pieces
            patch.setitem(coded_crops.BYTES_AT_ONCE, "cpu", 2000)
        assert_same_bits(store_of(reader).crops(indices, starts, length), expected)
        assert_same_bits(decode_crops(read_codes(FeatureReader(scp), indices, starts, length), CPU), expected)


@pytest.mark.parametrize("piece", [1, 700, 2**26])
def test_a_store_is_read_in_pieces_of_whole_records(piece, scp, monkeypatch):
    monkeypatch.setattr(resident, "PIECE", piece)
    reader = FeatureReader(scp)
    store, everything = store_of(reader), np.arange(len(reader))
    assert_same_bits(
        store.crops(everything, 0 * everything, 110), FeatureReader(scp).crops(everything, 0 * everything, 110)
    )


def test_a_store_knows_its_size_before_it_reads_and_then_reads_each_byte_once(scp, monkeypatch):
    reader, sizes = FeatureReader(scp), []
    num_frames = np.array([int(name.split("-")[1]) for name in reader.utterances])
    store = ResidentArks(reader, num_frames, CPU)
    assert 0 < (reader.kinds > 0).sum() <= 1 + len(KINDS)  # headers read: the first, and the last of each ark
    read_into = resident.read_into
    monkeypatch.setattr(resident, "read_into", lambda *args: (sizes.append(len(args[2])), read_into(*args)))
    store.load()
    store.load()
    assert sum(sizes) == store.num_bytes
    assert len(sizes) == len(KINDS)
    arks = sum((scp.parent / f"{kind}.ark").stat().st_size for kind in KINDS)
    assert arks - 60 * len(KINDS) <= store.num_bytes <= arks


def test_what_goes_to_another_device_goes_there_by_pieces_and_is_all_of_it(scp, monkeypatch):
    """The device meta stands in for one with its own memory: it takes copies and forgets them."""
    reader = FeatureReader(scp)
    expected = store_of(reader)
    expected.load()
    monkeypatch.setattr(resident, "PIECE", 6000)
    pieces, copy = [], torch.Tensor.copy_

    def kept(target: torch.Tensor, piece: torch.Tensor) -> torch.Tensor:
        assert target.device.type == "meta" and len(piece) == len(target)
        pieces.append(piece.clone())
        return copy(target, piece)

    monkeypatch.setattr(torch.Tensor, "copy_", kept)
    ResidentArks(FeatureReader(scp), reader.num_frames(), torch.device("meta")).load()
    assert len(pieces) > 2 and max(len(piece) for piece in pieces) <= 6000
    assert torch.equal(torch.cat(pieces), expected._bytes)


def test_of_few_utterances_only_theirs_are_held(tmp_path):
    records = {f"u{i:03}": encode_matrix(np.full((400, 30), i, float) + np.arange(30), 3) for i in range(50)}
    scp = write_ark(tmp_path / "x", records)
    chosen = ["u007", "u031", "u032", "u049"]
    store = store_of(FeatureReader(scp, chosen))
    assert store.num_bytes <= 4 * len(records["u000"]) + 20
    assert_same_bits(
        store.crops([3, 1, 0, 2], [1, 2, 3, 4], 50), FeatureReader(scp, chosen).crops([3, 1, 0, 2], [1, 2, 3, 4], 50)
    )


def test_two_names_of_one_record_have_the_same_crops(tmp_path):
    scp = write_ark(tmp_path / "x", {"a": encode_matrix(np.eye(9)), "b": encode_matrix(np.ones((5, 9)))})
    a, b = scp.read_text().splitlines()
    scp.write_text(f"{a}\n{b}\n{a.replace('a ', 'c ', 1)}\n")
    store = store_of(FeatureReader(scp))
    assert torch.equal(*store.crops([0, 2], [4, 4], 3))
    assert store.num_bytes < 500 + 60


def test_codes_that_move_are_those_of_the_crops_alone(scp):
    reader = FeatureReader(scp)
    for kind, size in {"CM": 7, "CM2": 14, "CM3": 7, "FM": 28}.items():
        index = reader.utterances.index(f"{kind}-100")
        (part,) = read_codes(reader, [index, index], [0, 50], 20)
        assert part.codes.numel() == 2 * 20 * size
        assert part.percentiles.numel() == (2 * 7 * 8 if kind == "CM" else 0)


MATRIX = encode_matrix(np.ones((10, 3)))


@pytest.mark.parametrize(
    "damage",
    [
        lambda ark, scp: ark.write_bytes(ark.read_bytes()[:-1]),
        lambda ark, scp: ark.write_bytes(ark.read_bytes()[:-125]),
        lambda ark, scp: ark.write_bytes(b""),
        lambda ark, scp: ark.unlink(),
        lambda ark, scp: scp.write_text(f"u {ark}:2\nv {ark}:3\nw {ark}:276\n"),
        lambda ark, scp: scp.write_text(f"u {ark}:2\nv {ark}:99999\n"),
        lambda ark, scp: ark.write_bytes(ark.read_bytes().replace(b"v \0BFM", b"v \0BXM")),
        lambda ark, scp: ark.write_bytes(
            ark.read_bytes().replace(b"w " + MATRIX, b"w " + encode_matrix(np.ones((10, 4))))
        ),
    ],
)
def test_damage_is_said_as_the_reader_says_it(damage, tmp_path):
    scp = write_ark(tmp_path / "x", dict.fromkeys("uvw", MATRIX))
    damage(tmp_path / "x.ark", scp)
    with pytest.raises(InputError) as by_reader:
        FeatureReader(scp).num_frames()
    with pytest.raises(InputError) as by_store:
        count = len(scp.read_text().splitlines())
        ResidentArks(FeatureReader(scp), np.full(count, 10), CPU).load()
    assert str(by_store.value) == str(by_reader.value)


def test_other_frames_than_utt2num_frames_says_are_refused(tmp_path):
    scp = write_ark(tmp_path / "x", dict.fromkeys("uv", MATRIX))
    with pytest.raises(
        InputError, match=r"'v': has 10 frames, but utt2num_frames says 11; it belongs to other features"
    ):
        ResidentArks(FeatureReader(scp), np.array([10, 11]), CPU).load()


def test_a_record_within_another_is_refused(tmp_path):
    inner = encode_matrix(np.ones((2, 1)))
    outer = encode_matrix(np.ones((10, 1)))
    (tmp_path / "x.ark").write_bytes(outer[:20] + inner + outer[20 + len(inner) :])
    (tmp_path / "x.scp").write_text(f"u {tmp_path}/x.ark:0\nv {tmp_path}/x.ark:20\n")
    with pytest.raises(InputError, match=r"'u': another record begins before its end"):
        ResidentArks(FeatureReader(tmp_path / "x.scp"), np.array([10, 2]), CPU).load()


def test_an_ark_that_shrinks_while_it_is_read_is_said(tmp_path):
    scp = write_ark(tmp_path / "x", dict.fromkeys("uv", MATRIX))
    store = ResidentArks(FeatureReader(scp), np.array([10, 10]), CPU)
    (tmp_path / "x.ark").write_bytes((tmp_path / "x.ark").read_bytes()[:-20])
    with pytest.raises(InputError, match=r"x\.ark: ends at byte 254: it was changed while being read"):
        store.load()


def test_a_crop_that_starts_past_the_end_is_refused(scp):
    reader = FeatureReader(scp)
    index = reader.utterances.index("CM-30")
    with pytest.raises(InputError, match=r"'CM-30': has 30 frames, .* at frame 30; utt2num_frames"):
        store_of(reader).crops([index], [30], 4)
