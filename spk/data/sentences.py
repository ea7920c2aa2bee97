"""English sentences from a small grammar: enough different ones that no two utterances of a corpus say the same."""

from __future__ import annotations

import numpy as np

# A word of each kind; _ stands for a blank.
GRAMMAR = """
det: the one this that every another my your our their his her some no
adj: old young quiet loud green yellow broken heavy narrow distant gentle bitter hollow curious frozen sudden
    clever tired golden wooden ancient empty bright careful foreign modern private royal simple warm
noun: river teacher garden engine window village doctor mountain letter bridge sailor market kitchen orchard
    painter station blanket candle harbour lawyer machine neighbour island pocket question robin shadow
    thunder uncle valley wagon zebra answer basket camera dragon elephant farmer guitar hammer jacket kettle
    lemon mirror needle officer pencil rabbit saddle ticket
verb: carried followed watched painted remembered answered borrowed visited discovered protected ignored
    measured covered delivered examined forgot gathered invited joined kept lifted missed noticed opened
    pushed reached served touched understood wanted
went: walked travelled hurried waited vanished returned jumped listened wandered arrived slept sang
prep: behind near under above across beside around beyond inside through without against
when: yesterday today again tonight slowly twice often quickly at_noon before_sunrise after_the_storm
    on_Friday in_October last_winter for_an_hour on_Monday_morning
number: two three four five six seven eight nine ten eleven twelve twenty thirty forty fifty
join: and but while because so until although when
"""
WORDS = {
    kind: [word.replace("_", " ") for word in words.split()]
    for kind, words in (rule.split(":") for rule in GRAMMAR.strip().replace("\n    ", " ").split("\n"))
}
FORMS = [
    "det adj noun verb det noun prep det adj noun",
    "det noun went prep det adj noun when",
    "number adj noun+s verb det adj noun",
    "det noun verb number noun+s join det noun went",
    "when det adj noun went prep number noun+s",
    "det noun prep det noun verb det adj noun when",
    "det adj noun went join number noun+s verb det adj noun",
]


def draw_sentence(rng: np.random.Generator) -> str:
    """A sentence of six to eleven words, from more than 10^9."""
    words = []
    for kind in FORMS[rng.integers(len(FORMS))].split():
        name, plural, ending = kind.partition("+")
        words.append(WORDS[name][rng.integers(len(WORDS[name]))] + (ending if plural else ""))
    sentence = " ".join(words)
    return sentence[0].upper() + sentence[1:] + "."
