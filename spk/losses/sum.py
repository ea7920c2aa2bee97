"""The sum of two objectives that share the embeddings."""

from __future__ import annotations

from typing import Annotated, Any

from torch import Tensor

from spk.losses.angular_prototypical import AngularPrototypical
from spk.losses.loss import LOSSES, Loss
from spk.losses.shard import Shard
from spk.schema import POSITIVE


@LOSSES.register("sum")
class Sum(Loss):
    """L = first + second_weight * second; `first` and `second` are names or sections of losses."""

    def __init__(
        self,
        embedding_dim: int,
        num_speakers: int,
        utterances_per_speaker: int,
        first: Annotated[str | dict[str, Any], LOSSES] = "softmax",
        second: Annotated[str | dict[str, Any], LOSSES] = "angular_prototypical",
        second_weight: Annotated[float, POSITIVE] = 1.0,
        shard: Shard | None = None,
    ) -> None:
        super().__init__()
        given = {
            "embedding_dim": embedding_dim,
            "num_speakers": num_speakers,
            "utterances_per_speaker": utterances_per_speaker,
            "shard": shard,
        }
        self.first = LOSSES.build("loss.first", first, **given)
        self.second = LOSSES.build("loss.second", second, **given)
        self.second_weight = second_weight

    @classmethod
    def check_batch(cls, num_speakers: int, utterances_per_speaker: int, section: dict[str, Any]) -> None:
        for part in (section["first"], section["second"]):
            LOSSES[part["name"]].check_batch(num_speakers, utterances_per_speaker, part)

    @classmethod
    def classifies(cls, section: dict[str, Any]) -> bool:
        return any(LOSSES[part["name"]].classifies(part) for part in (section["first"], section["second"]))

    def loss(self, embeddings: Tensor, labels: Tensor) -> Tensor:
        return self.first(embeddings, labels) + self.second_weight * self.second(embeddings, labels)


@LOSSES.register("softmax_angular_prototypical")
class SoftmaxAngularPrototypical(Sum):
    """L = softmax + second_weight * angular prototypical; `scale` and `bias` are where the latter's w and b start."""

    def __init__(
        self,
        embedding_dim: int,
        num_speakers: int,
        utterances_per_speaker: int,
        scale: Annotated[float, POSITIVE] = 10.0,
        bias: float = -5.0,
        second_weight: Annotated[float, POSITIVE] = 1.0,
        shard: Shard | None = None,
    ) -> None:
        second = {"name": "angular_prototypical", "scale": scale, "bias": bias}
        super().__init__(embedding_dim, num_speakers, utterances_per_speaker, "softmax", second, second_weight, shard)

    @classmethod
    def check_batch(cls, num_speakers: int, utterances_per_speaker: int, section: dict[str, Any]) -> None:
        AngularPrototypical.check_batch(num_speakers, utterances_per_speaker, section)

    @classmethod
    def classifies(cls, section: dict[str, Any]) -> bool:
        return True

    @classmethod
    def fixed(cls, section: dict[str, Any]) -> tuple[str, ...]:
        return AngularPrototypical.fixed(section)
