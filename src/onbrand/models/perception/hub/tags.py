"""BLIP as a tagger: the words of its caption."""

from __future__ import annotations

import torch
from torch import Tensor

from onbrand.models.packs import Pack
from onbrand.models.perception.hub.network import HubNetwork, load_tokenizer
from onbrand.models.perception.processor import CLIP
from onbrand.models.quiet import quiet_libraries

__all__ = ["MOST_TOKENS", "STOP_WORDS", "Captioner"]

MOST_TOKENS = 24
# the last two are no words: BLIP's large captioner begins many captions with them
STOP_WORDS = frozenset(
    {
        "a", "an", "and", "are", "as", "at", "be", "being", "by", "for", "from", "has", "have",
        "in", "into", "is", "it", "its", "of", "on", "or", "that", "the", "their", "there",
        "these", "this", "to", "two", "with", "while", "arafed", "araffe",
    }
)  # fmt: skip


class Captioner(HubNetwork):
    """`Tagging` by a BlipForConditionalGeneration with its tokenizer beside the weights.

    A tag is a word of the caption of most probable tokens; how sure it is, is the probability of
    the word's first token. Words that say nothing of a picture (STOP_WORDS) are left out.
    """

    role = "tagger"
    class_names = ("BlipForConditionalGeneration",)
    statistics = CLIP
    default_px = 384

    def __init__(self, pack: Pack, *, device: str = "cpu") -> None:
        super().__init__(pack, device=device)
        self.tokenizer = load_tokenizer(pack.role(self.role))

    @torch.no_grad()
    def tags(self, pixels_bchw: Tensor) -> list[dict[str, float]]:
        """See `Tagging.tags`."""
        found = []
        for tokens, shares in self.caption_tokens(pixels_bchw):
            sure: dict[str, float] = {}
            for word, share in _words(tokens, shares):
                if word.isalpha() and word not in STOP_WORDS:
                    sure[word] = max(share, sure.get(word, 0.0))
            found.append(dict(sorted(sure.items(), key=lambda pair: -pair[1])))
        return found

    @torch.no_grad()
    def caption_tokens(self, pixels_bchw: Tensor) -> list[tuple[list[str], list[float]]]:
        """Per picture the tokens of its caption and the probability of each, special ones left
        out, in order."""
        with quiet_libraries():
            said = self.module.generate(
                pixel_values=self.ready(pixels_bchw),
                max_new_tokens=MOST_TOKENS,
                do_sample=False,
                num_beams=1,
                output_logits=True,
                return_dict_in_generate=True,
            )
        logits = torch.stack(said.logits, dim=1).float()
        ids = said.sequences[:, -logits.shape[1] :]
        shares = logits.softmax(-1).gather(-1, ids[..., None])[..., 0]
        return [self._until_end(*row) for row in zip(ids.tolist(), shares.tolist(), strict=True)]

    def _until_end(self, ids: list[int], shares: list[float]) -> tuple[list[str], list[float]]:
        end = self.module.config.text_config.sep_token_id
        num = ids.index(end) if end in ids else len(ids)
        special = set(self.tokenizer.all_special_ids)
        kept = [i for i in range(num) if ids[i] not in special]
        tokens = self.tokenizer.convert_ids_to_tokens([ids[i] for i in kept])
        return [str(token) for token in tokens], [shares[i] for i in kept]


def _words(tokens: list[str], shares: list[float]) -> list[tuple[str, float]]:
    """Word pieces put together: "##" marks a piece that goes on with the word before it."""
    words: list[tuple[str, float]] = []
    for token, share in zip(tokens, shares, strict=True):
        if token.startswith("##") and words:
            words[-1] = (words[-1][0] + token[2:], words[-1][1])
        else:
            words.append((token.removeprefix("##").lower(), share))
    return words
