"""Brief: what a brand's subject is, what stays fixed, what may vary; here it becomes words.

A brief turns a free text ("waving at a night market") into a prompt in four ways, and nothing
else in the project does:

    prompt              kuro, a round orange fox …, waving at night   the trained brand
    description_prompt  a round orange fox …, waving at night         the base, told all traits
    trigger_prompt      a kuro fox mascot, waving at night            the DreamBooth baseline
    class_prompt        a fox mascot, waving at night                 any subject of its kind

What words can say of a brand, the base knows already; training is for the rest. Hence the trained
brand's prompt has both the trigger and the description.

A caption is such a text too. It may say where the subject stands as {subject}, by the trigger word,
by the subject's own words, or not at all: in each case the phrase is said once.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    StringConstraints,
    ValidationError,
    ValidationInfo,
    field_validator,
    model_validator,
)

from onbrand.errors import BriefError
from onbrand.files import is_utf8, write_text_atomic
from onbrand.toml import explain, read_toml

__all__ = ["Brief", "Objective", "slug"]

Objective = Literal["avatar", "scene"]

FILE_NAME = "brief.toml"
SLOT = "{subject}"
LONGEST_LIST = 84  # characters on a line of brief.toml
LONGEST_TRIGGER = 60  # characters
_SPOKEN_WITH_Y_OR_W = re.compile(
    r"uni(?![dmnr])|us[aeu]|us\b|ut[eio]|uranium|eu|ewe|ones?\b|onesie|once\b|ukulele|ufo",
    re.IGNORECASE,
)
_SILENT_H = re.compile(r"hour|honou?r\b|honest|heir|8|11\b|18\b", re.IGNORECASE)

_HEAD = """\
# The brief: what the brand's subject is. Edit this file; `onbrand train` reads it anew.
"""

_SAYS = {
    "name": "The brand's name, as people write it.",
    "trigger": """\
The word that will mean this very subject. Take one that the base has never seen:
# another would fight with what that word meant before.""",
    "subject": "What it is, in words that the base knows, without an article: fox mascot.",
    "description": """\
All its fixed traits in one phrase, in words that the base knows: "a round orange fox with a
# white muzzle, a red scarf". It goes into every prompt beside the trigger, so that training
# only has to add what words cannot say; the report's prompt_only baseline has it alone.""",
    "objective": "avatar: the head is fixed, the body varies. scene: expression and scenery count.",
    "fixed": """\
What is the same in every picture, one trait each. The trigger word comes to mean them:
# captions should not name them.""",
    "may_vary": "What may change: pose, outfit, prop, … Captions should name it.",
    "palette": "The brand's colours. The report measures how far pictures drift from them.",
    "never": "What must never appear: goes into the negative prompt of `onbrand generate`.",
    "prompts": """\
What to draw, without naming the subject: it is put before each, or in place of
# {subject}. The first few are used while training (recipe: validation.num_prompts), the
# others only by the report.""",
    "held_out": """\
Names of pictures that are kept from training, to measure on. * stands for anything:
# ["07.png", "side-*"]. With none named, about every fifth is held out.""",
    "licence": """\
Whose the trained files are and what others may do with them: an SPDX name or a phrase. It is
# written into their headers when they are trained; without it they say the base's.""",
}


def slug(name: str) -> str:
    """A name as one lower-case word of letters and digits: "Kuro the Fox!" is "kurothefox"."""
    return re.sub(r"[^\w]|_", "", name.lower())


class Brief(BaseModel):
    """What the brand is. See the comments of a brief.toml for each field; only `name` and
    `subject` are needed.

    `trigger` defaults to the name as one word, less its vowels where the subject has that word.
    `description` defaults to "a" + subject. `palette` colours are "#rrggbb".
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, StringConstraints(strip_whitespace=True, min_length=1)]
    trigger: str = ""
    subject: str
    description: str = ""
    objective: Objective = "avatar"
    fixed: list[str] = []
    may_vary: list[str] = []
    palette: list[str] = []
    never: list[str] = []
    prompts: list[str] = []
    held_out: list[str] = []
    licence: str = ""

    @model_validator(mode="before")
    @classmethod
    def _defaults(cls, given: Any) -> Any:
        if not isinstance(given, dict):
            return given
        filled = dict(given)
        name, subject = str(filled.get("name") or ""), str(filled.get("subject") or "")
        if _is_left_out(filled.get("trigger")):
            filled["trigger"] = _default_trigger(name, subject)
        if _is_left_out(filled.get("description")) and subject:
            filled["description"] = _with_article(_bare(subject))
        return filled

    @field_validator("*")
    @classmethod
    def _no_halves_of_characters(cls, given: str | list[str]) -> str | list[str]:
        if not is_utf8("".join(given)):
            raise ValueError("is no text in UTF-8: write it anew")
        return given

    @field_validator("name", "description", "trigger", "licence")
    @classmethod
    def _one_line(cls, text: str) -> str:
        return " ".join(text.split())

    @field_validator("subject")
    @classmethod
    def _no_article(cls, text: str) -> str:
        bare = _bare(text)
        if not bare:
            raise ValueError("should say what it is, such as 'fox mascot'")
        return bare

    @field_validator("trigger")
    @classmethod
    def _a_word_of_its_own(cls, word: str, info: ValidationInfo) -> str:
        if "name" not in info.data and not word:
            return word  # without a name: that is said already
        if not word:
            raise ValueError(f"no word can be made of the name {info.data.get('name')!r}: name one")
        if re.search(r"[{},.]", word):
            raise ValueError("should be a plain word, without braces, commas or full stops")
        if len(word) > LONGEST_TRIGGER:
            raise ValueError(
                f"is {len(word)} letters long and would fill the prompt: at most {LONGEST_TRIGGER}"
            )
        return word

    @field_validator("subject", "description")
    @classmethod
    def _no_slot(cls, text: str) -> str:
        if re.search(r"[{}]", text):
            raise ValueError("should be plain words, without braces")
        return text

    @field_validator("palette")
    @classmethod
    def _hex_colours(cls, colours: list[str]) -> list[str]:
        return [_hex_colour(colour) for colour in colours]

    @field_validator("prompts", "fixed", "may_vary", "never", "held_out")
    @classmethod
    def _nothing_empty(cls, texts: list[str]) -> list[str]:
        texts = [" ".join(text.split()) for text in texts]
        if not all(texts):
            raise ValueError("should have no empty text in it")
        return texts

    @model_validator(mode="after")
    def _trigger_is_not_the_subject(self) -> Brief:
        if _phrase_pattern(self.trigger).search(self.subject):
            raise ValueError(
                f"trigger {self.trigger!r} is a word of subject {self.subject!r}, which the base "
                f"knows: take another, such as {_default_trigger(self.trigger, self.subject)!r}"
            )
        return self

    # -- words -------------------------------------------------------------------------------

    def prompt(self, text: str) -> str:
        """The text about this very subject: "kuro, a round orange fox …, waving at night"."""
        who = f"{self.trigger}, {self.description}"
        told = self.description != _with_article(self.subject)
        return self._say(text, who, beside=who if told else self.trigger, aside=True)

    def description_prompt(self, text: str) -> str:
        """The text about the described subject, without the trigger (the prompt_only baseline)."""
        aside = "," in self.description
        return self._say(text, self.description, beside=self.description, aside=aside)

    def trigger_prompt(self, text: str) -> str:
        """The text with the trigger and the kind, as DreamBooth has it: "a kuro fox mascot, …"."""
        who = f"{_with_article(self.trigger)} {self.subject}"
        return self._say(text, who, beside=self.trigger, aside=False)

    def class_prompt(self, text: str) -> str:
        """The text about any subject of its kind: "a fox mascot, waving at a night market"."""
        return self._say(text, _with_article(self.subject), beside="", aside=False)

    def other_prompt(self, text: str, description: str) -> str:
        """The text about somebody else, who is described by these words. Where it has the subject's
        with others among them ("a happy fox mascot"), which belong to the picture, "one" stands for
        them: "a blue cat, a happy one waving"."""
        if self._cut(text) is None:
            text = _phrase_pattern(self.subject).sub("one", text)
        aside = "," in description
        return self._say(text, description, beside=description, aside=aside, again=description)

    def validation_prompts(self, num: int, captions: Sequence[str] = ()) -> list[str]:
        """The first `num` texts of `prompts`, which gates and sweeps look at; the held-out
        pictures' captions stand in for a brief without prompts."""
        return list((self.prompts or captions)[:num]) or ["on a plain background"]

    def _say(
        self, text: str, who: str, *, beside: str, aside: bool, again: str | None = None
    ) -> str:
        """`who` in the place where the text speaks of the subject, or before it; `again` where it
        has {subject} once more (None: the subject's words).

        `beside` goes before a text that has the subject's words with others among them ("a happy
        fox mascot"), which must not be lost.
        `aside`: `who` has a comma of its own, so that another must close it before more words.
        """
        text = " ".join(text.split())
        cut = self._cut(text)
        if cut is None:
            if _phrase_pattern(self.subject).search(text):
                return f"{beside}, {text}" if beside else text
            return f"{who}, {text.lstrip(' ,')}" if text.strip(" ,") else who
        before, after = cut
        again = again or f"the {self.subject}"
        after = re.sub(re.escape(SLOT), lambda _: again, after, flags=re.IGNORECASE)
        joint = ", " if aside and re.match(r"\s*\w", after) else ""
        return f"{before}{who}{joint}{after.lstrip() if joint else after}".strip()

    def _cut(self, text: str) -> tuple[str, str] | None:
        """The text before and after the words that stand for the subject; None if none do.

        {subject} goes before the trigger word (with an article before it and the subject's words
        after it), that before the subject's words with an article or at the very beginning.
        """
        trigger, subject = (_loosely(words) for words in (self.trigger, self.subject))
        article = r"(?:\b(?:an?|the|one)\s+)"
        for pattern in (
            re.escape(SLOT),
            rf"{article}?(?<!\w){trigger}(?!\w)(?:,?\s+{article}?{subject}(?!\w))?",
            rf"{article}{subject}(?!\w)",
            rf"^{subject}(?!\w)",
        ):
            match = re.search(pattern, text, re.IGNORECASE)
            if match:
                return text[: match.start()], text[match.end() :]
        return None

    # -- files -------------------------------------------------------------------------------

    @classmethod
    def load(cls, path: str | Path) -> Brief:
        """The brief in a file, or in the brief.toml of a folder.

        Raises `BriefError`, one line, for a missing file, an unknown key, or a wrong value.
        """
        file = Path(path) / FILE_NAME if Path(path).is_dir() else Path(path)
        return cls.parse(read_toml(file, BriefError), source=str(file))

    @classmethod
    def parse(cls, fields: dict[str, Any], *, source: str = "the brief") -> Brief:
        """The brief of these fields; `source` names them in errors. Raises `BriefError`."""
        try:
            return cls.model_validate(fields)
        except ValidationError as fault:
            raise BriefError(f"{source}: {explain(fault, cls)}") from fault

    def save(self, path: str | Path) -> Path:
        """Writes a commented brief.toml (into `path`, if that is a folder) and returns its path.

        A file that is there keeps its own comments and order; only values change. Raises
        `StorageError`, and `BriefError` when the old file is no TOML.
        """
        file = Path(path) / FILE_NAME if Path(path).is_dir() else Path(path)
        write_text_atomic(file, self._updated(file) if file.is_file() else self.to_toml())
        return file

    def to_toml(self) -> str:
        """The brief as a commented TOML text."""
        lines = [_HEAD]
        for key, value in self.model_dump().items():
            lines.append(f"# {_SAYS[key]}\n{key} = {_toml_value(value)}\n")
        return "\n".join(lines)

    def _updated(self, file: Path) -> str:
        import tomlkit

        old = read_toml(file, BriefError)
        document = tomlkit.parse(file.read_bytes().decode("utf-8-sig"))
        for key, value in self.model_dump().items():
            if old.get(key) != value and (key in old or value):
                document[key] = tomlkit.value(_toml_value(value))
        return tomlkit.dumps(document)


def _is_left_out(given: object) -> bool:
    """Whether a field has no words, and its default stands for it; another type is a mistake."""
    return given is None or (isinstance(given, str) and not given.strip())


def _default_trigger(name: str, subject: str) -> str:
    """The name's slug; without its vowels, or marked, when the subject already has that word."""
    word = slug(name)
    if not word or not _phrase_pattern(word).search(_bare(subject)):
        return word
    short = re.sub(r"[aeiou]", "", word)
    return short if len(short) > 2 and short != word else f"{word}x"


def _bare(phrase: str) -> str:
    return re.sub(r"^(?:an?|the)\s+", "", " ".join(phrase.split()), flags=re.IGNORECASE).strip()


def _with_article(phrase: str) -> str:
    by_letter = phrase[:1].lower() in tuple("aeiou") and not _SPOKEN_WITH_Y_OR_W.match(phrase)
    return f"{'an' if by_letter or _SILENT_H.match(phrase) else 'a'} {phrase}"


def _loosely(phrase: str) -> str:
    return r"\s+".join(re.escape(word) for word in phrase.split())


def _phrase_pattern(phrase: str) -> re.Pattern[str]:
    # not \b, which beside anything but letters asks for a letter there
    return re.compile(rf"(?<!\w){_loosely(phrase)}(?!\w)", re.IGNORECASE)


def _hex_colour(text: str) -> str:
    colour = text.strip().lower()
    if re.fullmatch(r"#[0-9a-f]{3}", colour):
        return "#" + "".join(2 * digit for digit in colour[1:])
    if not re.fullmatch(r"#[0-9a-f]{6}", colour):
        raise ValueError(f"{text!r} is no colour: write #rrggbb, such as #ff8800")
    return colour


def _toml_value(value: str | list[str]) -> str:
    """The value in TOML; a long list has a line per item."""
    import tomlkit

    if isinstance(value, str):
        return tomlkit.item(value).as_string()
    items = [tomlkit.item(text).as_string() for text in value]
    line = f"[{', '.join(items)}]"
    if len(line) <= LONGEST_LIST:
        return line
    return "[\n" + "".join(f"    {item},\n" for item in items) + "]"
