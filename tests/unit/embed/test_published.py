"""Published networks: with their weights, ours give the embeddings that their own code gives; what does not fit."""

from __future__ import annotations

import logging
import re

import numpy as np
import pytest
import torch
from unit.embed.published_weights import REST, SYSTEMS, embeddings, state_dict, waves

from spk.config import make_system
from spk.embed.published import import_published
from spk.errors import InputError
from spk.feats import FRONT_ENDS


def system(network, **network_arguments):
    sections = SYSTEMS[network]
    return make_system({**REST, **sections, "network": {"name": sections["network"], **network_arguments}}, network)


@pytest.fixture
def checkpoint(tmp_path):
    """`checkpoint(content)` is a file that holds it."""

    def write(content):
        torch.save(content, tmp_path / "published.model")
        return tmp_path / "published.model"

    return write


def prefixed(state, prefix="__S__."):
    return {prefix + name: value for name, value in state.items()}


@pytest.mark.parametrize("network", list(SYSTEMS))
def test_published_weights_give_the_published_embeddings_from_the_wave_on(checkpoint, network):
    config = system(network)
    embedder, num_bins = import_published(checkpoint(prefixed(state_dict(network))), config)
    front_end = FRONT_ENDS.build("features", config.features)
    assert num_bins == front_end.dim
    with torch.no_grad():
        result = embedder(front_end(waves())).numpy()
    expected = embeddings(network)
    assert np.abs(result - expected).max() < 1e-5 * np.abs(expected).max()


LOSS = {"__L__.w": torch.tensor(10.0), "__L__.b": torch.tensor(-5.0)}
FORMS = {
    "flat": lambda state: prefixed(state) | LOSS,
    "from several GPUs": lambda state: prefixed(state, "module.__S__.") | prefixed(LOSS, "module."),
    "bare under model": lambda state: {"model": state},
    "prefixed under model": lambda state: {"model": prefixed(state) | LOSS},
    "with the optimiser": lambda state: {"model_state_dict": prefixed(state) | LOSS, "optimizer": {}, "epoch": 3},
}


@pytest.mark.parametrize("form", list(FORMS))
def test_every_form_of_a_checkpoint_is_read_and_what_is_left_out_is_counted(checkpoint, caplog, form):
    state = state_dict("ResNetSE34L")
    with caplog.at_level(logging.INFO):
        embedder, _ = import_published(checkpoint(FORMS[form](state)), system("ResNetSE34L"))
    assert torch.equal(embedder.network.embedding.weight, state["fc.weight"])
    left_out = 0 if form == "bare under model" else 2
    assert f"{len(state)} tensors of the network; {left_out} of its loss left out" in caplog.text


def test_attentive_statistics_pooling_has_the_names_of_self_attentive_pooling(checkpoint):
    state = state_dict("ResNetSE34L")
    state["fc.weight"] = torch.randn(512, 256)
    embedder, _ = import_published(checkpoint(prefixed(state)), system("ResNetSE34L", pooling="asp"))
    assert torch.equal(embedder.network.pooling.attention.context, state["attention"])


def torchaudio_buffers(window):
    from torchaudio.transforms import MelSpectrogram

    mel = MelSpectrogram(16000, n_fft=512, win_length=400, hop_length=160, window_fn=window, n_mels=40)
    return {f"torchfb.{name}": value for name, value in mel.state_dict().items()}


def test_the_front_end_in_the_checkpoint_must_be_the_systems(checkpoint):
    state = state_dict("VGGVox")
    import_published(checkpoint(prefixed(state | torchaudio_buffers(torch.hann_window))), system("VGGVox"))
    path = checkpoint(prefixed(state | torchaudio_buffers(torch.hamming_window)))
    with pytest.raises(InputError, match=r"torchfb\.spectrogram\.window is not features\.window hann; set features"):
        import_published(path, system("VGGVox"))
    other = torchaudio_buffers(torch.hann_window)
    other["torchfb.mel_scale.fb"] = other["torchfb.mel_scale.fb"] * 2
    with pytest.raises(InputError, match=r"torchfb\.mel_scale\.fb is not the filters of fbank40"):
        import_published(checkpoint(prefixed(state | other)), system("VGGVox"))


def refusal(path, config):
    with pytest.raises(InputError) as refused:
        import_published(path, config)
    assert "\n" not in str(refused.value)
    return str(refused.value)


def test_what_does_not_fit_is_named_with_its_shape_there_and_here(checkpoint):
    state = state_dict("ResNetSE34L")
    path = checkpoint(prefixed(state))
    text = refusal(path, system("ResNetSE34L", embedding_dim=256))
    assert text == (
        f"{path}: is no ResNetSE34L that fits this fast_resnet34: fc.weight is 512 x 128 there, 256 x 128 here, "
        "fc.bias is 512 there, 256 here"
    )


def test_what_is_missing_and_what_is_left_over_is_named(checkpoint):
    state = state_dict("ResNetSE34L")
    del state["layer2.0.downsample.0.weight"]
    state["torchfb.0.flipped_filter"] = torch.zeros(1, 1, 2)
    text = refusal(checkpoint(prefixed(state)), system("ResNetSE34L"))
    assert text.endswith("missing there: layer2.0.downsample.0.weight; not taken here: torchfb.0.flipped_filter")
    text = refusal(checkpoint(prefixed(state_dict("ResNetSE34L"))), system("ResNetSE34L", se=False))
    assert re.search(r"not taken here: layer1\.0\.se\.fc\.0\.bias, .* and 59 more$", text)


def test_another_network_is_told_from_this_one(checkpoint):
    text = refusal(checkpoint(prefixed(state_dict("VGGVox"))), system("ResNetSE34L"))
    assert "missing there: conv1.weight" in text
    assert "not taken here: netcnn.0.bias" in text


@pytest.mark.parametrize(
    ("section", "value", "message"),
    [
        ("network", "xvector", "network.name: xvector was not published there; allowed: fast_resnet34, thin_resnet34"),
        ("features", "kaldi_fbank", "features.name: ResNetSE34L takes fbank40, not kaldi_fbank"),
        ("normalization", "global", "normalization.name: ResNetSE34L takes instance, not global"),
    ],
)
def test_a_system_that_was_not_published_is_refused(checkpoint, section, value, message):
    config = make_system({**REST, **SYSTEMS["ResNetSE34L"], section: value}, "system")
    assert message in refusal(checkpoint(prefixed(state_dict("ResNetSE34L"))), config)


@pytest.mark.parametrize("content", [[1, 2], {"epoch": 3}, {"model": {"fc.weight": [1.0]}}, {0: torch.zeros(1)}])
def test_a_file_without_a_state_dict_is_refused(checkpoint, content):
    assert "holds no state dict" in refusal(checkpoint(content), system("ResNetSE34L"))


class Harm:
    def __reduce__(self):
        return print, ("harm done",)


def test_a_checkpoint_is_data_and_never_runs(checkpoint, capsys):
    path = checkpoint({"__S__.fc.weight": Harm()})
    assert "cannot be read as a checkpoint" in refusal(path, system("ResNetSE34L"))
    assert "harm done" not in capsys.readouterr().out
