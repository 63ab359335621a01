"""The files that are loaded, and the facts about them."""

import json
from dataclasses import dataclass
from pathlib import Path

from .tools import WORK, build, small

SEED = 20111209
OTHER_SEED = 20101201


@dataclass
class Lines:
    """A file of invoice lines."""

    path: Path
    lines: int
    """All of them."""
    facts: dict
    """What a table shows in which the good ones are, and nothing else."""


def lines(count, seed=SEED, kind=None, every=0):
    """A file of so many lines; of `every` lines one is bad, in the way `kind` says."""
    name = f"lines-{count}-{seed}" + (f"-{kind}-{every}" if kind else "")
    path, facts = WORK / f"{name}.csv", WORK / f"{name}.json"
    generate = small("generate")
    if not (path.exists() and facts.exists() and facts.stat().st_mtime > generate.stat().st_mtime):
        words = [generate, path, count, seed, *((kind, every) if kind else ())]
        facts.write_text(build(f"{count:,} lines", words))
    return Lines(path, count, json.loads(facts.read_text()))
