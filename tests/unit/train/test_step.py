"""A batch that goes through the network in parts: the loss of the whole, batch norm of the parts, memory of one."""

from __future__ import annotations

import functools

import pytest
import torch
from torch._dynamo.utils import counters
from torch.autograd.graph import saved_tensors_hooks
from torch.testing import assert_close

from spk.config import make_system
from spk.data.share import Share
from spk.errors import InputError
from spk.losses import LOSSES
from spk.nets.embedder import build_embedder
from spk.train.step import TrainingStep, check_parts, compiled, device_arithmetic

SPEAKERS, UTTERANCES = 7, 2
LABELS = torch.tensor([3, 1, 8, 0, 5, 7, 2]).repeat_interleave(UTTERANCES)
# Every third speaker, the first with 3, the others with 2.
THIRDS = [torch.tensor(rows) for rows in ([0, 1, 6, 7, 12, 13], [2, 3, 8, 9], [4, 5, 10, 11])]


def build(loss: str, network: str = "fast_resnet34"):
    torch.manual_seed(2)
    section = {"name": network, "embedding_dim": 6, "channels": 0.25}
    given = {"embedding_dim": 6, "num_speakers": 9, "utterances_per_speaker": UTTERANCES}
    return build_embedder("global", section, num_bins=40), LOSSES.build("loss", loss, **given)


def drawn() -> tuple[torch.Tensor, torch.Tensor]:
    torch.manual_seed(4)
    return torch.randn(len(LABELS), 20, 40) + 0.3, torch.rand(len(LABELS), 20, 40) < 0.1


def results(embedder, loss) -> dict[str, torch.Tensor]:
    named = [*embedder.named_parameters(), *loss.named_parameters(prefix="loss")]
    return {**{name: parameter.grad for name, parameter in named}, **dict(embedder.named_buffers())}


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("loss_name", ["dam_softmax", "angular_prototypical", "triplet"])
@pytest.mark.parametrize("recomputes", [False, True])
def test_parts_have_the_loss_of_the_whole_and_are_gone_through_twice_without_a_trace(loss_name, precision, recomputes):
    features, masked = drawn()
    embedder, loss = build(loss_name)
    # By the definition: each part once through the network, all activations kept, one loss of all embeddings.
    embeddings = torch.empty(len(LABELS), 6)
    with torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16", cache_enabled=False):
        for rows in THIRDS:
            embeddings = embeddings.index_copy(0, rows, embedder(features[rows], None, masked[rows]).float())
    torch.manual_seed(6)
    expected = loss(embeddings, LABELS)
    expected.backward()
    by_definition = results(embedder, loss)

    embedder, loss = build(loss_name)
    embedder.network.recomputes = recomputes
    torch.manual_seed(6)
    step = TrainingStep(embedder, loss, precision, parts=3, share=Share(utterances_per_speaker=UTTERANCES))
    value = step.forward_backward(features, LABELS, masked)
    assert_close(value, expected.detach())
    for name, result in results(embedder, loss).items():
        assert_close(result, by_definition[name], msg=lambda text, name=name: f"{name}: {text}")


def test_the_activations_of_one_part_are_kept():
    kept = {}
    for parts in (1, 7):
        embedder, loss = build("dam_softmax")
        step = TrainingStep(embedder, loss, "float32", parts, share=Share(utterances_per_speaker=UTTERANCES))
        sizes: dict[int, int] = {}

        def keep(x: torch.Tensor, sizes: dict[int, int] = sizes) -> torch.Tensor:
            sizes[x.untyped_storage().data_ptr()] = x.untyped_storage().nbytes()
            return x

        with saved_tensors_hooks(keep, lambda x: x):
            step.embed(drawn()[0], None, len(LABELS))
        weights = {one.untyped_storage().data_ptr() for one in embedder.parameters()}
        kept[parts] = sum(size for where, size in sizes.items() if where not in weights)
    assert kept[7] < kept[1] / 7 * 1.5


def test_parts_that_would_be_too_small_are_refused_by_number():
    content = {
        "features": {"name": "fbank40"},
        "network": {"name": "fast_resnet34"},
        "loss": {"name": "softmax"},
        "optimizer": {"name": "adam"},
        "schedule": {"name": "constant"},
        "batch": {"size": 12},
        "train": {"steps": 1, "accumulate": 6},
    }
    check_parts(make_system(content, "here"), 1)
    check_parts(make_system(content, "here"), 2)
    with pytest.raises(InputError, match="6 parts in each of 3 processes need a batch of 18 speakers or more"):
        check_parts(make_system(content, "here"), 3)
    content["train"]["accumulate"] = 7
    with pytest.raises(InputError, match="7 parts need a batch of 14 speakers or more"):
        check_parts(make_system(content, "here"), 1)


def test_a_compiled_embedder_stands_in_for_the_embedder_and_is_compiled_once(monkeypatch):
    """Traced, and run without a compiler of C++, which takes a minute; margins and masks change from step to step."""
    monkeypatch.setattr(torch, "compile", functools.partial(torch.compile, backend="eager"))
    values = []
    for mode in (False, True):
        embedder, loss = build("am_softmax", "xvector")
        step = TrainingStep(embedder, loss, "float32", forward=compiled(embedder, mode))
        before = counters["stats"]["unique_graphs"]
        for number in range(3):
            loss.margin = 0.1 * number
            features, masked = drawn()
            values.append(step.forward_backward(features, LABELS, masked.roll(number)))
        assert counters["stats"]["unique_graphs"] - before == int(mode)
    assert_close(values[:3], values[3:])


@pytest.mark.parametrize("enabled", [True, False])
def test_on_a_gpu_cudnn_stays_as_it_is_but_tries_its_algorithms_and_float32_is_float32(enabled, monkeypatch):
    cudnn, matmul = torch.backends.cudnn, torch.backends.cuda.matmul
    monkeypatch.setattr(cudnn, "enabled", enabled)
    before = (cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32)
    with device_arithmetic(torch.device("cuda", 0)):
        assert cudnn.enabled == enabled
        assert cudnn.benchmark
        assert cudnn.deterministic == before[1]
        assert not cudnn.allow_tf32 and not matmul.allow_tf32
    assert cudnn.enabled == enabled
    assert (cudnn.benchmark, cudnn.deterministic, cudnn.allow_tf32, matmul.allow_tf32) == before
