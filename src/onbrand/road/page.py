"""report: one brand's comparison as a page for people and a JSON file for programs."""

from __future__ import annotations

import platform
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from onbrand.artifacts import BrandModel, Judgement
from onbrand.errors import RecipeError
from onbrand.events import Listener, silent
from onbrand.road.compare import BASE, Comparison, compare
from onbrand.road.contest import open_contest
from onbrand.road.places import Places, open_brand

if TYPE_CHECKING:
    from onbrand.models.packs import Pack
    from onbrand.report import Column, Curve, Evidence, Neighbour, Shown

__all__ = ["report"]

MAX_REFERENCES, MAX_HELD_OUT, MAX_LOOKALIKES, MAX_NEIGHBOURS, MAX_WORST = 12, 4, 8, 8, 4


def report(
    brand: str | Path = ".",
    *,
    baselines: bool = False,
    num_prompts: int = 8,
    num_per_prompt: int = 2,
    num_steps: int = 20,
    emit: Listener = silent,
) -> Judgement:
    """Writes report.html, report.json and report.png (the grid alone) into a trained brand's folder
    and returns the judgement.

    Every arm draws `num_prompts` prompts with the same `num_per_prompt` seeds. prompt_only always
    stands beside the stages; with `baselines` dreambooth_lora does too, and is trained first where
    it is missing.
    """
    from onbrand.report import ReportContext, write_report

    places = open_brand(brand)
    contest = open_contest(
        brand,
        num_prompts=num_prompts,
        num_per_prompt=num_per_prompt,
        num_steps=num_steps,
        emit=emit,
    )
    found = compare(brand, contest, baselines=baselines, emit=emit)
    brief = places.brief()
    context = ReportContext(
        brand=brief.name,
        sentence=found.verdict.sentence,
        good=found.verdict.good,
        judgement=found.judgement,
        references=_references(found),
        prompts=found.prompts,
        columns=[_column(name, found) for name in found.pictures],
        lookalikes=_lookalikes(places),
        curves=_curves(found),
        neighbours=_neighbours(found),
        coverage_holes=_holes(found),
        skipped=[(skip.path, skip.reason) for skip in found.dataset.skipped],
        recipe_toml=_recipe_toml(found.model),
        lineage=_lineage(found),
        commands=_commands(places, found.model, baselines),
        facts=_facts(found),
        diagnosis=found.verdict.diagnosis,
        evidence=_evidence(found),
        chance={"retrieval_fraction": found.references.gallery.chance},
        borrowed=_borrowed(contest.pack),
    )
    write_report(places.root, context)
    return found.judgement


def _borrowed(pack: Pack) -> str:
    """Whose encoders measure what the base's pack has none of its own for; "" where it has all."""
    from onbrand.judging.eyes import borrowed_judges

    roles = borrowed_judges(pack)
    if not roles:
        return ""
    return (
        f"The base, {pack.name}, brings no encoders of its own for {', '.join(roles)}: those of "
        f"the pack {pack.fallback} look instead. They know {pack.fallback_knows} alone, so be wary "
        "of their figures on anything else."
    )


def _column(arm: str, found: Comparison) -> Column:
    from onbrand.report import Column, Shown, arm_title

    shots, scores = found.pictures[arm], found.measured[arm].pictures
    num = len(found.seeds)
    rows = [
        [
            Shown(
                picture=shots.open(index),
                alt=f"{arm_title(arm)}: {shots.items[index].prompt}",
                note=f"seed {shots.items[index].seed} · identity {scores[index].identity:.2f}",
            )
            for index in range(row * num, (row + 1) * num)
        ]
        for row in range(len(found.prompts))
    ]
    return Column(arm=arm, title=arm_title(arm), rows=rows)


def _references(found: Comparison) -> list[Shown]:
    from onbrand.report import Shown

    dataset = found.dataset
    parts = ((dataset.train[:MAX_REFERENCES], ""), (dataset.held_out[:MAX_HELD_OUT], "held out"))
    return [
        Shown(picture=dataset.open(asset), alt=asset.caption or asset.key, note=note)
        for assets, note in parts
        for asset in assets
    ]


def _lookalikes(places: Places) -> list[Shown]:
    from onbrand import curation
    from onbrand.report import Shown

    pairs = curation.lookalike_pictures(places.lookalikes)[:MAX_LOOKALIKES]
    return [Shown(picture=picture, alt=f"look-alike {name}", note=name) for name, picture in pairs]


def _curves(found: Comparison) -> list[Curve]:
    from onbrand import training
    from onbrand.report import Curve

    return [
        Curve(
            name=name,
            steps=[int(line["step"]) for line in lines],
            values=[line["loss"] for line in lines],
        )
        for name, lines in training.loss_curves(found.model.root).items()
        if lines
    ]


def _neighbours(found: Comparison) -> list[Neighbour]:
    """The generated pictures that come nearest to a training picture, of the chosen stage."""
    from onbrand.report import Neighbour, Shown

    arm = found.judgement.ship["chosen"] or found.model.stages[-1].name
    shots, scores = found.pictures[arm], found.measured[arm].pictures
    order = sorted(range(len(scores)), key=lambda index: scores[index].nearest_distance)
    pairs = []
    for index in order[:MAX_NEIGHBOURS]:
        score, asset = scores[index], found.dataset.train[scores[index].nearest_train]
        pairs.append(
            Neighbour(
                generated=Shown(picture=shots.open(index), alt=shots.items[index].prompt),
                training=Shown(picture=found.dataset.open(asset), alt=asset.caption or asset.key),
                distance=score.nearest_distance,
                memorised=score.memorised,
            )
        )
    return pairs


def _evidence(found: Comparison) -> list[Evidence]:
    """The faults of the stage that the verdict speaks of, each with the pictures that show it most,
    beside the base's of the same prompt and seed, or the training picture that it repeats."""
    from onbrand import judging
    from onbrand.report import Evidence

    arm = found.judgement.ship["chosen"] or found.model.stages[-1].name
    own, base = (
        {name: metric.value for name, metric in found.measured[one].arm.metrics.items()}
        for one in (arm, BASE)
    )
    return [
        Evidence(
            title=finding.sentence.partition(":")[0],
            pairs=_worst(found, arm, finding.fault),
            beside="what it repeats" if finding.fault == "memorised" else "the base's",
        )
        for finding in judging.findings(own, base)
    ]


def _worst(found: Comparison, arm: str, fault: str) -> list[tuple[Shown, Shown | None]]:
    from onbrand.report import Shown

    of_class = fault == "drift"
    shots = (found.class_pictures if of_class else found.pictures)[arm]
    pairs: list[tuple[Shown, Shown | None]] = []
    for index in found.measured[arm].worst.get(fault, ())[:MAX_WORST]:
        item = shots.items[index]
        if fault == "memorised":
            asset = found.dataset.train[found.measured[arm].pictures[index].nearest_train]
            other = Shown(picture=found.dataset.open(asset), alt=asset.caption or asset.key)
        else:
            place = index * len(found.seeds) if of_class else index
            drawn = found.pictures[BASE]
            other = Shown(picture=drawn.open(place), alt=f"base: {drawn.items[place].prompt}")
        text = found.prompts[index if of_class else index // len(found.seeds)]
        shown = Shown(shots.open(index), alt=item.prompt, note=f"{text} · seed {item.seed}")
        pairs.append((shown, other))
    return pairs


def _holes(found: Comparison) -> Sequence[str]:
    holes = found.dataset.coverage.get("holes", [])
    return [str(hole) for hole in holes] if isinstance(holes, list) else []


def _lineage(found: Comparison) -> list[tuple[str, str]]:
    own = {"dataset": found.dataset.fingerprint, "base": found.model.base}
    parents = {str(name): str(value) for name, value in found.model.parents.items()}
    return list((own | parents).items())


def _recipe_toml(model: BrandModel) -> str:
    """What the model was trained with, as a recipe.toml that says the same."""
    import tomlkit

    tables = model.recipe.model_dump(exclude_none=True)
    for stage in tables["stage"]:
        stage.setdefault("min_snr_gamma", 0)  # there is no None in TOML: 0 switches it off
    return tomlkit.dumps(tables)


def _commands(places: Places, model: BrandModel, baselines: bool) -> list[str]:
    """What makes the page again: with the recipe on it, where the folder's is another one."""
    try:
        same = places.recipe() == model.recipe
    except RecipeError:
        same = False
    return [
        places.command("train") + ("" if same else " --recipe FILE  # the recipe on this page"),
        places.command("report") + (" --baselines" if baselines else ""),
    ]


def _facts(found: Comparison) -> list[tuple[str, str]]:
    seen = sum(stage.num_pictures_seen for stage in found.model.stages)
    took = sum(stage.seconds for stage in found.model.stages)
    sizes = f"{len(found.dataset.train)} to learn from, {len(found.dataset.held_out)} held out"
    return [
        ("base", found.model.base),
        ("pictures", sizes),
        ("pictures seen in training", f"{seen:,}"),
        ("training", f"{took / 60:.1f} min"),
        ("prompts × seeds", f"{len(found.prompts)} × {len(found.seeds)}"),
        ("seeds", ", ".join(map(str, found.seeds))),
        *_tries(found),
        ("machine", f"{platform.machine()}, Python {platform.python_version()}"),
    ]


def _tries(found: Comparison) -> list[tuple[str, str]]:
    """What early stops and fallbacks did in training."""
    told = []
    for stage in found.model.stages:
        if stage.best_step is not None:
            told.append((f"{stage.name}, early stop", f"step {stage.best_step} is the best"))
        for number, one in enumerate(stage.tries, start=1):
            changed = ", ".join(f"{k} = {v}" for k, v in one["changes"].items()) or "as the recipe"
            told.append((f"{stage.name}, try {number}", f"{changed}: gate {one['gate']}"))
        if stage.changes:
            changed = ", ".join(f"{name} = {value}" for name, value in stage.changes.items())
            told.append((f"{stage.name}, kept", changed))
    return told
