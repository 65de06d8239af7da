"""How figures are named and printed for people: one place, so every page says the same."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["ARM_TITLES", "MEASURES", "Measure", "arm_title", "figure", "measure", "spread"]

Kind = Literal[
    "share", "cosine", "small", "count", "delta_e", "decibel", "seconds", "mebibytes"
]  # fmt: skip


@dataclass(frozen=True)
class Measure:
    """A metric's label, what it means in a line, and how its value is printed."""

    label: str
    meaning: str
    kind: Kind


FAULT_WORDS: dict[str, str] = {
    "shapes": "shape errors", "pose": "one pose", "oily": "oily look",
    "background": "empty background", "memorised": "memorised", "drift": "drift of the class",
}  # fmt: skip

EYE_WORDS: dict[str, str] = {
    "expression": "expression", "tagger": "words", "attributes": "attributes",
    "alignment": "caption", "identity": "nearest one", "faces": "faces", "pose": "joints",
    "parsing": "parts", "clicks": "mask of a click",
}  # fmt: skip

MEASURES: dict[str, Measure] = {
    "identity": Measure(
        "Identity",
        "how like the real, held-out pictures (mean cosine, evaluation encoder)",
        "cosine",
    ),
    "identity_error": Measure(
        "Identity error", "what is missing to the likeness of two real pictures", "small"
    ),
    **{
        f"identity_error_over_{arm}": Measure(
            f"Identity error over {words}", "paired by character", "share"
        )
        for arm, words in (
            ("prompt_only", "prompt only's"),
            ("dreambooth_lora", "DreamBooth LoRA's"),
        )
    },
    "retrieval_fraction": Measure(
        "Retrieval", "the brand is nearest among 19 others and their one-trait look-alikes", "share"
    ),
    "alignment": Measure(
        "Alignment",
        "how well the picture fits the prompt (cosine); the brand's traits, which no prompt names, "
        "lower it",
        "small",
    ),
    "directional_alignment": Measure(
        "Alignment of directions",
        "how pictures differ against how their prompts do (cosine): what all share drops out",
        "small",
    ),
    "alignment_ratio": Measure(
        "Alignment against base",
        "as a share of the untouched base's on the same prompts",
        "share",
    ),
    "diversity": Measure(
        "Diversity", "how pictures of one prompt differ (0 = all the same layout)", "cosine"
    ),
    "memorised_fraction": Measure(
        "Memorised", "nearer to a training picture than held-out real ones are", "share"
    ),
    "palette_distance": Measure(
        "Palette distance", "main colours to the brief's palette (CIEDE2000)", "delta_e"
    ),
    "attributes_fraction": Measure(
        "Attributes", "what the prompt names and a classifier finds on the picture", "share"
    ),
    "expression_fraction": Measure(
        "Expression", "that the prompt names and a reader sees on the face", "share"
    ),
    "pose_fraction": Measure("Pose", "that the prompt names and a reader sees", "share"),
    "head_identity": Measure("Identity, head", "of head crops alone", "cosine"),
    "ears_identity": Measure("Identity, ears", "of the square around them", "cosine"),
    "eyes_identity": Measure("Identity, eyes", "of the square around them", "cosine"),
    "mark_identity": Measure("Identity, mark", "of the square around it", "cosine"),
    "outfit_identity": Measure("Identity, outfit", "clothes and accessories", "cosine"),
    "background_variety": Measure(
        "Variety of backgrounds", "between prompts, the subject painted over (0 = one)", "cosine"
    ),
    "composition_count": Measure(
        "Compositions", "places and sizes of the subject that are used", "count"
    ),
    "shape_doubt": Measure(
        "Doubtful shapes",
        "how unsure the eyes are of shapes, over the real pictures' (1 = alike)",
        "cosine",
    ),
    "pose_variety": Measure(
        "Variety in pose", "how far joints differ between pictures, in figure sizes", "cosine"
    ),
    "oiliness": Measure(
        "Oily look",
        "over-smooth and over-saturated, log of the real pictures' (0 = alike)",
        "cosine",
    ),
    "background_detail": Measure(
        "Background", "the share of what is behind the subject that shows anything", "share"
    ),
    "prior_drift": Measure(
        "Drift of the class", "how far pictures of the plain subject moved from the base's", "small"
    ),
    **{
        f"auc_{fault}": Measure(f"AUC, {words}", "planted among clean sets of eight", "cosine")
        for fault, words in FAULT_WORDS.items()
    },
    **{
        f"auc_{fault}_severity_{severity}": Measure(
            f"AUC, {words}, {grade}", "planted among clean sets of eight", "cosine"
        )
        for fault, words in FAULT_WORDS.items()
        for severity, grade in ((1, "slight"), (2, "clear"), (3, "severe"))
    },
    **{
        f"auc_{fault}_single_picture": Measure(f"AUC, {words}, one picture", "", "cosine")
        for fault, words in FAULT_WORDS.items()
    },
    **{
        f"named_{fault}_fraction": Measure(f"Named, {words}", "from severity 2 on", "share")
        for fault, words in FAULT_WORDS.items()
    },
    "clean_accused_fraction": Measure("Clean sets accused", "of anything", "share"),
    "also_named_fraction": Measure(
        "Something else said, too", "of sets with one planted fault", "share"
    ),
    "psnr_drawn_db": Measure(
        "Reconstruction, drawings", "PSNR of reserved drawings through the VAE", "decibel"
    ),
    "psnr_mascot_db": Measure(
        "Reconstruction, real mascot", "PSNR inside the alpha of a real mascot", "decibel"
    ),
    "edge_f1": Measure(
        "Edges followed", "F1 at 2 px of a ControlNet's picture against its drawing", "cosine"
    ),
    "joints_fraction": Measure(
        "Joints followed", "within 5 % of the side of where the pose drawing has them", "share"
    ),
    "fault_fraction": Measure(
        "Faults", "pictures of plain prompts in which a classifier finds one", "share"
    ),
    "faults_avoided_fraction": Measure(
        "Faults avoided", "of these, gone when the negative prompt names all faults", "share"
    ),
    "frechet_ratio": Measure(
        "Fréchet ratio", "distance to true drawings, over that of two sets of these", "delta_e"
    ),
    "parsing_garments_iou": Measure("Parts, garments", "mean intersection over union", "cosine"),
    "parsing_people_iou": Measure("Parts, people", "mannequins and garments included", "cosine"),
    "parsing_all_iou": Measure("Parts, all worlds", "mean of all labels", "cosine"),
    "faces_recall_fraction": Measure("Faces found", "recall of boxes, overlap one half", "share"),
    "faces_precision_fraction": Measure("Faces, precision", "boxes that hold a face", "share"),
    "joints_fashion_pck10": Measure("Joints, people", "PCK@0.1", "share"),
    "joints_mascots_pck10": Measure("Joints, mascots", "PCK@0.1", "share"),
    "expressions_fraction": Measure("Expressions", "read right", "share"),
    "tags_f1": Measure("Tags", "mean F1 of all attributes", "cosine"),
    "captions_mascots_fraction": Measure(
        "Captions, mascots", "the true one among 20 with one attribute changed", "share"
    ),
    "captions_emoji_fraction": Measure("Captions, emoji", "the noun among 20", "share"),
    **{
        f"{name}_with_{other}_ratio": Measure(f"{label} kept, {words}", of, "share")
        for name, label in (
            ("alignment", "Alignment"),
            ("directional_alignment", "Alignment of directions"),
        )
        for other, words, of in (
            ("traits", "traits", "a character truly drawn, over its plain kind (100 % is right)"),
            ("one_wrong", "one wrong", "one named attribute drawn wrong, over none (low is keen)"),
        )
    },
    "pa_fraction": Measure(
        "Look-alikes told (PA)", "margins above 0, same scene, one trait changed", "share"
    ),
    "pa_parts_fraction": Measure(
        "Look-alikes told by the part", "the changed part's own vector, same scene", "share"
    ),
    "ssr_fraction": Measure("All look-alikes told (SSR)", "characters without a miss", "share"),
    "pa_gopher_fraction": Measure(
        "Gopher's colour variants told", "a real mascot, never seen", "share"
    ),
    "gopher_faces_fraction": Measure("Gopher's face found", "of 60 real pictures", "share"),
    "gopher_expressions_fraction": Measure(
        "Gopher's expression read", "where its caption says one of the eight", "share"
    ),
    "captions_gopher_fraction": Measure(
        "Captions, gopher", "its own among 20 of a real mascot", "share"
    ),
    "emoji_styles_fraction": Measure("Emoji's style told", "among four", "share"),
    "bare_refused_fraction": Measure(
        "Bare figures refused", "drawn garments painted in the skin's colour", "share"
    ),
    "drawings_refused_fraction": Measure("Drawings refused", "false alarms", "share"),
    "real_refused_fraction": Measure("Real pictures refused", "false alarms", "share"),
    "photographs_fraction": Measure(
        "Photographs matched", "nearest other one shows the same subject", "share"
    ),
    "emoji_nouns_fraction": Measure(
        "Emoji nouns", "the alignment twin picks the right one among 20", "share"
    ),
    **{
        f"same_{role}_fraction": Measure(f"Same {words}", "after the worst of three", "share")
        for role, words in EYE_WORDS.items()
    },
    **{
        f"same_after_{change}_fraction": Measure(f"Same after {words}", "of all eyes", "share")
        for change, words in (("jpeg", "JPEG"), ("crop", "a crop"), ("shift", "a shift"))
    },
    "pictures_per_second": Measure("Pictures a second, slowest eye", "of all roles", "delta_e"),
    **{
        f"pictures_per_second_{role}": Measure(f"Pictures a second, {role}", "", "delta_e")
        for role in (*EYE_WORDS, "safety")
    },
    "eyes_mib": Measure("Size, eyes and twins", "their weights", "mebibytes"),
    "seconds_per_picture": Measure("Time per picture", "one alone, with guidance", "seconds"),
    "seconds_to_load_role": Measure(
        "Time to load a role", "the slowest, libraries imported", "seconds"
    ),
    "t2i_mib": Measure("Size, text to image", "its weights", "mebibytes"),
    "base_accused_fraction": Measure("The base's own sets accused", "of anything", "share"),
    "killed_runs_identical_fraction": Measure(
        "Killed runs that end the same", "SIGKILL, called again, compared by hash", "share"
    ),
    "kills_at_work_fraction": Measure(
        "Kills that met a run at work", "a run may end before its moment comes", "share"
    ),
    "example_loop_ratio": Measure(
        "Quicker than diffusers' example", "its time for a step over ours", "cosine"
    ),
    "cached_loop_ratio": Measure(
        "Quicker than that with all cached", "its time for a step over ours", "cosine"
    ),
    "detail_per_picture_ratio": Measure(
        "Detail against a plain step", "time per picture, prior pictures counted", "cosine"
    ),
    "expression_per_picture_ratio": Measure(
        "Expression against a plain step", "pose, expression and identity looked at", "cosine"
    ),
    "plain_seconds_per_step": Measure(
        "A plain step", "of eight pictures, processor time", "seconds"
    ),
    "follow_retrieval_fraction": Measure(
        "Followed from three pictures, retrieval",
        "the character is nearest among 19 others and look-alikes, nothing trained",
        "share",
    ),
    "follow_identity": Measure(
        "Followed from three pictures, identity", "cosine to the character's pictures", "cosine"
    ),
    "pack_mib": Measure("Size, whole pack", "all weights", "mebibytes"),
}

ARM_TITLES: dict[str, str] = {
    "base": "Base",
    "prompt_only": "Prompt only",
    "dreambooth_lora": "DreamBooth LoRA",
    "onbrand": "onbrand",
    "appearance": "Appearance",
    "detail": "Detail",
    "expression": "Expression",
    "followed_described": "With all traits in words",
    "class_prompt": "Kind alone",
    "real": "Real pictures",
    "true_drawings": "True drawings",
    "unguided": "Unguided",
    "before": "Before",
    "twin": "Evaluation twin",
    "gates": "Gates' eyes",
}


UNITS: dict[str, str] = {"share": "\u202f%", "decibel": " dB", "seconds": " s", "mebibytes": " MiB"}


def measure(name: str) -> Measure:
    """The wording of a metric; a new one is shown under its own name."""
    kind: Kind = "share" if name.endswith("_fraction") else "cosine"
    label = name.removesuffix("_fraction").replace("_", " ").capitalize()
    return MEASURES.get(name, Measure(label, "", kind))


def arm_title(name: str) -> str:
    """What people read for an arm's name."""
    return ARM_TITLES.get(name, name.replace("_", " ").capitalize())


def figure(name: str, value: float) -> str:
    """A value as it is printed: "93 %", "0.87", "0.041", "6.2"."""
    kind = measure(name).kind
    digits = {"share": 0, "cosine": 2, "small": 3, "seconds": 2, "count": 0}.get(kind, 1)
    rounded = round(float(value) * (100 if kind == "share" else 1), digits) + 0.0  # never −0
    return f"{rounded:.{digits}f}{UNITS.get(kind, '')}".replace("-", "−")


def spread(name: str, interval: Sequence[float]) -> str:
    """An interval as it is printed, its per cent sign once: "80–86 %", "−0.14 to 0.11"."""
    ends = [figure(name, end) for end in interval]
    between = " to " if any(end.startswith("−") for end in ends) else "–"
    return between.join(ends).replace(f"\u202f%{between}", between)
