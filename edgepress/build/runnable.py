"""What was compiled of several networks and runs on this machine, as a check of them together needs it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from edgepress.build.assemble import Finished
from edgepress.build.engines import Compiled
from edgepress.build.job import Job

Runs = Mapping[str, Mapping[str, Compiled]]


def runnable(job: Job, finished: Mapping[str, Finished]) -> dict[str, dict[str, Compiled]]:
    """What was compiled of each part and runs on this machine, by engine."""
    return {
        part: {
            made.engine: made
            for made in each.compiled
            if made.engine == "ort" or job.targets[part].kind == "host"
        }
        for part, each in finished.items()
    }


def engines_of(runs: Runs) -> dict[str, list[tuple[str, Path, dict[str, Any]]]]:
    """The same as :func:`edgepress.build.ways.ways_of` takes it: name, folder, facts."""
    return {
        part: [(name, made.step.folder, made.facts) for name, made in each.items()]
        for part, each in runs.items()
    }


def keys_of(finished: Mapping[str, Finished], runs: Runs) -> dict[str, Any]:
    """What a check of several networks together depends on, as a step's inputs."""
    return {
        "networks": {part: each.network.step.key for part, each in finished.items()},
        "engines": {
            part: {name: made.step.key for name, made in each.items()} for part, each in runs.items()
        },
    }
