"""What joins a student's networks in a build: how each is pressed, the check of the whole, the tables of all parts."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from edgepress.build import steps
from edgepress.build.assemble import Finished
from edgepress.build.engines import AGREEMENT
from edgepress.build.job import Job
from edgepress.build.joined import Sent, Shared, refuse_described
from edgepress.build.press import calibration_samples
from edgepress.build.runnable import engines_of, keys_of, runnable
from edgepress.build.sending import Sending
from edgepress.bundle import Check
from edgepress.coding.description import model_name
from edgepress.coding.split import DEVICE, LOCAL, SPLIT, STEPS, Split, costs_more, integers, steps_to_bytes
from edgepress.errors import CheckError, UsageError
from edgepress.methods import configure
from edgepress.methods.entropic_student import METHOD, NAME
from edgepress.recipe import Recipe
from edgepress.samples import Feed
from edgepress.source import Source
from edgepress.split_source import LATENTS, SplitSource

_FLOAT = 0.99  # of first classes, which must be torch's where the server's half stays in float


@dataclass(frozen=True)
class JoinedSplit:
    """A student's networks, as :class:`edgepress.build.joined.Joined` has them."""

    source: SplitSource
    room = "split"
    step = "symbols"
    any_size = False

    def fitting(self, recipe: Recipe, source: Source) -> Recipe:
        """See :class:`~edgepress.build.joined.Joined`, as for all that follow."""
        if recipe.method not in ("auto", NAME):
            raise UsageError(
                f"{source.name} is a student, whose device half stays in float32 because streams depend on it; leave "
                f"--method {recipe.method} out (--method {NAME} --option server=int8 presses the server's half)"
            )
        if recipe.tile:
            raise UsageError(f"{source.name} is a student, and only codecs have tiles; leave --tile out")
        refuse_described(recipe, f"{source.name} is a student")
        configure(METHOD, recipe.options)
        return dataclasses.replace(recipe, method=NAME)

    def recipe_of(self, part: str, recipe: Recipe) -> Recipe:
        config = configure(METHOD, recipe.options)
        methods = {DEVICE: "none", LOCAL: config.local}
        return dataclasses.replace(recipe, method=methods.get(part, config.server), options={})

    def has_coder(self, part: str) -> bool:
        return part == DEVICE

    def sending(self, part: str) -> Sending | None:
        return Sending(self.source.description, self.source.frozen) if part == DEVICE else None

    def made_from(self, part: str) -> str:
        return DEVICE if part in self.source.description.heads else ""

    def board_of(self, part: str) -> str:
        return DEVICE if part == LOCAL else ""

    def examples(self, part: str, taken: list[Feed]) -> list[Feed]:
        from edgepress.build.split_check import head_feeds

        return head_feeds(self.source, taken)

    def sent(self, part: str) -> Sent | None:
        if part != DEVICE:
            return None
        frozen, highest = self.source.frozen(), self.source.description.highest
        return lambda given: [integers(given[LATENTS][0], one, highest) for one in frozen.steps]

    def shared(self, job: Job, finished: Mapping[str, Finished]) -> Shared:
        _check_symbols(job, self.source, finished)
        frozen, split = self.source.frozen(), _counted(self.source.description, finished)
        if warning := costs_more(split):
            job.listener.note(warning)
        tables = {SPLIT: split.to_bytes(), STEPS: steps_to_bytes(frozen.steps, split)}
        tables |= {model_name(rate): model for rate, model in enumerate(frozen.models)}
        method: dict[str, Any] = {"name": NAME, "teacher": split.teacher}
        if frozen.facts:
            method["training"] = dict(frozen.facts)
        return Shared(tables, method)


def _counted(split: Split, finished: Mapping[str, Finished]) -> Split:
    """The description, with multiply-adds counted in the graphs where the student does not tell them."""
    from edgepress.graph.cost import total_macs

    def count(part: str, known: float) -> float:
        return known or float(total_macs(steps.read_graph(finished[part].network.step.folder / steps.GRAPH)))

    return dataclasses.replace(
        split,
        device_macs=count(DEVICE, split.device_macs),
        server_macs=count(split.heads[0], split.server_macs),
    )


def _check_symbols(job: Job, source: SplitSource, finished: Mapping[str, Finished]) -> None:
    """Hold the networks that ship against torch: the integers that are sent, and the first classes of each head."""
    device = job.of(DEVICE)
    samples = calibration_samples(device, source.inputs(DEVICE), source.prepare(DEVICE), half=1)
    joined = {part: each for part, each in finished.items() if part in source.parts}
    runs = runnable(job, joined)

    def work(folder: Any, progress: Any) -> None:
        from edgepress.build.split_check import compare_split

        paths = {part: each.network.step.folder / steps.GRAPH for part, each in joined.items()}
        steps.write_facts(
            folder, {"figures": compare_split(source, paths, engines_of(runs), samples, progress)}
        )

    done = job.step(
        "symbols",
        "holding what is sent and what is answered against torch",
        {
            "source": job.source.digest,
            **keys_of(joined, runs),
            "samples": samples.digest,
        },
        work,
        lambda folder: _told(steps.read_facts(folder)["figures"]),
    )
    for figure in steps.read_facts(done.folder)["figures"]:
        part, share = figure["part"], figure["share"]
        is_device = part == DEVICE
        rounds = not is_device and joined[part].network.rounds
        limit = AGREEMENT if is_device else job.recipe.gate.agreement if rounds else _FLOAT
        step, unit = ("symbols", "share of symbols") if is_device else ("answer", "share of first classes")
        passed = share >= limit
        detail = f"{figure['how']}; {figure['detail']}; {samples.origin}"
        job.checks.append(Check(step, "torch", share, limit, unit, passed, "measured", detail, part))
        if not passed:
            raise CheckError(
                f"the part {part} does not give what torch gives ({figure['how']}): {share:.4%} "
                f"{unit.removeprefix('share ')} are the "
                f"same, and {limit:.1%} must be; report it with the student"
            )


def _told(figures: list[dict[str, Any]]) -> str:
    sent = min(figure["share"] for figure in figures if figure["part"] == DEVICE)
    answers = [figure["share"] for figure in figures if figure["part"] != DEVICE]
    return f"{sent:.4%} of symbols the same" + (
        f", {min(answers):.2%} of the server's first classes" if answers else ""
    )
