"""Contenders that take turns."""

from dataclasses import dataclass, field
from statistics import median
from typing import Callable

from .measure import Failed, measure
from .tools import Missing, say


@dataclass
class Contender:
    """A way to do the work of a contest."""

    name: str
    command: Callable[[], list]
    """The words of its command; raises Missing if it can't be had."""
    items: int
    """How many items its input has: all of them, or a sample."""
    prepare: Callable[[], None]
    """Puts the target into the state it begins with; not timed."""
    check: Callable[[], str]
    """What is wrong with the result, or nothing."""
    rounds: int | None = None
    """In how many rounds it takes part; None is all."""
    note: str = ""
    env: dict = field(default_factory=dict)


@dataclass
class Contest:
    """Contenders for the same work; the first is the measure of the others."""

    key: str
    title: str
    contenders: list
    server: object = None
    rounds: int = 3
    notes: list = field(default_factory=list)


@dataclass
class Result:
    """What a contender reached; no samples if it is void."""

    name: str
    items: int
    note: str = ""
    void: str = ""
    samples: dict = field(default_factory=dict)
    """A Sample for each round, by its number."""

    def rate(self, which):
        return self.items / self.samples[which].wall

    def median(self, of):
        return median(of(sample) for sample in self.samples.values())

    @property
    def seconds(self):
        return self.median(lambda s: s.wall)

    @property
    def items_per_second(self):
        return self.items / self.seconds

    @property
    def client_cpu(self):
        """Seconds for a million items."""
        return self.median(lambda s: s.client_cpu) * 1e6 / self.items

    @property
    def server_cpu(self):
        """Seconds for a million items."""
        return self.median(lambda s: s.server_cpu) * 1e6 / self.items

    @property
    def peak(self):
        """Bytes; the largest of all rounds."""
        return max(sample.peak for sample in self.samples.values())


@dataclass
class Ratio:
    """How fast one is in units of the other, round by round."""

    median: float
    low: float
    high: float


def ratio(one, other):
    """None where they were never in the same round."""
    both = [n for n in one.samples if n in other.samples] if one and other else []
    if not both:
        return None
    each = [one.rate(n) / other.rate(n) for n in both]
    return Ratio(median(each), min(each), max(each))


def hold(contest, quick=False):
    """Lets the contenders take turns; gives their results, in their order."""
    say(f"{contest.title}")
    results = {c.name: Result(c.name, c.items, c.note) for c in contest.contenders}
    commands = {c.name: command(c, results[c.name]) for c in contest.contenders}
    rounds = min(contest.rounds, 2) if quick else contest.rounds
    for turn in range(rounds):
        for contender in contest.contenders:
            result = results[contender.name]
            if result.void or (contender.rounds is not None and turn >= contender.rounds):
                continue
            take_turn(contest, contender, commands[contender.name], result, turn)
    return list(results.values())


def command(contender, result):
    try:
        return contender.command()
    except Missing as missing:
        result.void = f"skipped: {missing}"
        say(f"  {contender.name}: {result.void}")


def take_turn(contest, contender, command, result, turn):
    try:
        contender.prepare()
        sample = measure(command, contest.server, contender.env)
        wrong = contender.check()
    except Failed as failed:
        wrong = str(failed)
    if wrong:
        result.void, result.samples = f"void: {wrong}", {}
        say(f"  {contender.name}: {result.void}")
        return
    result.samples[turn] = sample
    rate = contender.items / sample.wall
    say(f"  {turn + 1}. {contender.name:40} {sample.wall:8.3f} s {rate:12,.0f}/s")
