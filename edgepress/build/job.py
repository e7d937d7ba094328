"""One build as it runs: what is asked, what is known so far, and the running of one step after another."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from edgepress.build.cache import StepCache, key
from edgepress.build.joined import Joined, joined_by
from edgepress.build.listener import Listener
from edgepress.build.versions import code_digest, tool_versions
from edgepress.bundle import Check
from edgepress.errors import EdgepressError, UsageError
from edgepress.hardware.hwbench import Peaks, peaks_of
from edgepress.progress import Progress
from edgepress.recipe import Recipe
from edgepress.source import Source
from edgepress.targets import Target

PART = "main"
_MEASURED = "measured.json"


class Planned(EdgepressError):
    """Ends a dry run at the first step that is not in the cache; never seen by users."""


@dataclass(frozen=True)
class Done:
    """A finished step: its key and the folder with its files."""

    key: str
    folder: Path
    cached: bool


@dataclass
class Job:
    """A running build.

    Attributes:
        recipe, source, target: what is asked.
        cache: where finished steps are.
        listener: who hears of it.
        dry: stop where work would begin.
        checks: what was checked so far.
        ran, reused: names of steps that ran, and that were in the cache.
        locked: what an earlier build measured, by step key.
        measured: what this build's choices rest on, by step key.
        left_out: engines that do not take the network, with the reason.
        trains: whether the method has anything to train, as it said when it looked at the network.
        sets: examples to train on, once they are loaded (:class:`edgepress.training.sets.Sets`).
        part: which part of the model is being built; with :data:`PART` it is the only one.
        targets: the board of each part.
    """

    recipe: Recipe
    source: Source
    target: Target
    cache: StepCache
    listener: Listener
    dry: bool = False
    checks: list[Check] = field(default_factory=list)
    ran: list[str] = field(default_factory=list)
    reused: list[str] = field(default_factory=list)
    locked: dict[str, dict[str, Any]] = field(default_factory=dict)
    measured: dict[str, dict[str, Any]] = field(default_factory=dict)
    left_out: dict[str, str] = field(default_factory=dict)
    trains: bool = False
    sets: Any = None
    part: str = PART
    targets: dict[str, Target] = field(default_factory=dict)

    @property
    def alone(self) -> bool:
        """Whether the model is one network."""
        return self.part == PART

    @property
    def joined(self) -> Joined:
        """What joins the model's networks, or this part's to the others."""
        return joined_by(self.source)

    def of(self, part: str) -> Job:
        """The same build, seen from one of its parts: what is found there joins what is known of the whole."""
        source, target = self.source.parts[part], self.targets[part]
        recipe = self.joined.recipe_of(part, self.recipe)
        return replace(self, part=part, recipe=recipe, source=source, target=target, left_out={}, sets=None)

    def beside(self, part: str) -> Job:
        """A part's job as that of another part, where only what they share is asked."""
        return replace(self, part=part)

    def check(self, check: Check) -> None:
        """Note a check, of the part that is being built."""
        self.checks.append(check if self.alone else replace(check, part=self.part))

    def step(
        self,
        name: str,
        about: str,
        inputs: Mapping[str, Any],
        work: Callable[[Path, Progress], None],
        figure: Callable[[Path], str] = lambda folder: "",
    ) -> Done:
        """Run a step, or take it from the cache.

        Args:
            name: the step's name.
            about: what it does, for people.
            inputs: everything that its result depends on, JSON-ready; tools and code are added here.
            work: fills the folder it is given.
            figure: the result in a few words, read from the finished folder.

        Raises:
            Planned: in a dry run, when the step is not in the cache.
        """
        name_key, shown = self.key(name, inputs), self.shown(name)
        folder = self.cache.find(name, name_key)
        cached = folder is not None
        start = time.perf_counter()
        if folder is None:
            if self.dry:
                raise Planned(name)
            self.listener.started(shown, about)
            folder = self.cache.make(name, name_key, lambda partial: work(partial, self.listener.progress))
            self.ran.append(shown)
        else:
            self.reused.append(shown)
        self.listener.finished(shown, time.perf_counter() - start, cached, figure(folder))
        return Done(name_key, folder, cached)

    def shown(self, name: str) -> str:
        """A step's name as people see it: with its part, where there are several."""
        return name if self.alone else f"{self.part}: {name}"

    def measure(
        self,
        name: str,
        about: str,
        inputs: Mapping[str, Any],
        work: Callable[[Progress], dict[str, Any]],
        figure: Callable[[dict[str, Any]], str],
    ) -> dict[str, Any]:
        """Run a step that measures, or take what an earlier build measured; either becomes part of the lock.

        Args:
            work: measures, and gives JSON-ready facts.
            figure: the facts in a few words.

        Other arguments and errors are those of :meth:`step`.
        """
        name_key = self.key(name, inputs)

        def fill(folder: Path, progress: Progress) -> None:
            facts = self.locked.get(name_key)
            if facts is None:
                facts = work(progress)
            try:
                figure(facts)
            except (KeyError, TypeError, ValueError, AttributeError):
                raise UsageError(
                    f"the lock does not hold what {name} measures; remove it to measure anew"
                ) from None
            (folder / _MEASURED).write_text(json.dumps(facts))

        def read(folder: Path) -> dict[str, Any]:
            facts: dict[str, Any] = json.loads((folder / _MEASURED).read_text())
            return facts

        done = self.step(name, about, inputs, fill, lambda folder: figure(read(folder)))
        self.measured[name_key] = read(done.folder)
        return self.measured[name_key]

    def peaks(self) -> Peaks | None:
        """What was measured of this machine, where it is the target: an input of whatever is estimated for it."""
        return peaks_of(self.target) if self.target.kind == "host" else None

    def key(self, name: str, inputs: Mapping[str, Any]) -> str:
        """The key of a step: its name, its inputs, the tools and our own code."""
        return key(name, {**inputs, "tools": tool_versions(), "code": code_digest()})
