"""The sum of two objectives that share the embeddings."""

from __future__ import annotations

from typing import Annotated, Any

from torch import Tensor

from spk.losses.loss import LOSSES, Loss
from spk.schema import POSITIVE


@LOSSES.register("softmax_angular_prototypical")
@LOSSES.register("sum")
class Sum(Loss):
    """L = first + second_weight * second, by default softmax + angular prototypical.

    `first` and `second` are names or sections of losses, each with its own arguments.
    """

    def __init__(
        self,
        embedding_dim: int,
        num_speakers: int,
        utterances_per_speaker: int,
        first: Annotated[str | dict[str, Any], LOSSES] = "softmax",
        second: Annotated[str | dict[str, Any], LOSSES] = "angular_prototypical",
        second_weight: Annotated[float, POSITIVE] = 1.0,
    ) -> None:
        super().__init__()
        given = {
            "embedding_dim": embedding_dim,
            "num_speakers": num_speakers,
            "utterances_per_speaker": utterances_per_speaker,
        }
        self.first = LOSSES.build("loss.first", first, **given)
        self.second = LOSSES.build("loss.second", second, **given)
        self.second_weight = second_weight

    @classmethod
    def check_batch(cls, num_speakers: int, utterances_per_speaker: int, section: dict[str, Any]) -> None:
        for part in (section["first"], section["second"]):
            LOSSES[part["name"]].check_batch(num_speakers, utterances_per_speaker, part)

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        return self.first(embeddings, labels) + self.second_weight * self.second(embeddings, labels)
