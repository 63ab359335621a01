"""What kiln wants to reach, beside what was measured."""

from dataclasses import dataclass

from .contest import ratio

ONE, TWO = "kiln, chunk 5,000", "kiln, chunk 5,000, 2 lanes"
COPY = r"psql \copy"
EXECUTEMANY = "psycopg executemany, 500 a transaction"
MEMORY = 100


@dataclass
class Target:
    """`one` is to be at least so many times as fast as `other`."""

    text: str
    contest: str
    one: str
    other: str
    at_least: float


@dataclass
class Verdict:
    text: str
    wanted: str
    measured: str
    words: str
    """`met`, or by how much it is missed."""


def slower(kind, share, chunk, times):
    """A run with bad items may take so many times as long as a clean one."""
    name = f"kiln, chunk {chunk:,}"
    return Target(f"{share} ({kind}), chunk {chunk:,}, to a clean run", f"bad-{kind}",
                  f"{name}: {share}", f"{name}: none bad", 1 / times)


TARGETS = [
    Target(r"insert, one lane, chunk 5,000, to \copy", "insert", ONE, COPY, 1.0),
    Target(r"insert, two lanes, chunk 5,000, to \copy", "insert", TWO, COPY, 1.3),
    Target(r"insert, one lane, chunk 1,000, to \copy", "insert", "kiln, chunk 1,000", COPY, 0.6),
    Target(r"5 ms each way, to \copy over the same link", "link-5ms", ONE, COPY, 0.9),
    Target(r"upsert into an empty table, to \copy", "upsert-empty", ONE,
           r"psql \copy (plain insert)", 0.45),
    Target("insert, to pgloader", "insert", ONE, "pgloader", 10),
    Target("insert, to executemany", "insert", ONE, EXECUTEMANY, 9),
    Target("insert, to Spring Batch at the same chunk", "insert", ONE,
           "Spring Batch 6, chunk 5,000", 5),
    Target("insert, chunk 1,000, to Spring Batch at the same chunk", "insert",
           "kiln, chunk 1,000", "Spring Batch 6, chunk 1,000", 5),
    *(slower(kind, share, chunk, times)
      for kind in ("duplicate", "number")
      for share, times in (("1 % bad", 3), ("10 % bad", 4))
      for chunk in (5_000, 1_000)),
    Target("SQLite, to .import", "sqlite", ONE, "sqlite3 .import", 1.3),
]


def verdicts(held):
    """`held` is a list of (contest, results); targets of what was not held are left out."""
    by_name = {(contest.key, r.name): r for contest, results in held for r in results}
    keys = {contest.key for contest, _ in held}
    judged = [judge(t, by_name) for t in TARGETS if t.contest in keys]
    peaks = [(r.peak, f"{contest.key}: {r.name}") for contest, results in held for r in results
             if r.name.startswith("kiln") and r.samples]
    return judged + ([memory(*max(peaks))] if peaks else [])


def judge(target, by_name):
    one, other = (by_name.get((target.contest, name)) for name in (target.one, target.other))
    found = ratio(one, other)
    at_most = target.at_least < 0.45
    wanted = f"≤ {1 / target.at_least:.0f}×" if at_most else f"≥ {target.at_least:g}×"
    if found is None:
        return Verdict(target.text, wanted, "–", "not measured")
    value = 1 / found.median if at_most else found.median
    low, high = (1 / found.high, 1 / found.low) if at_most else (found.low, found.high)
    measured = f"{value:.2f} ({low:.2f}–{high:.2f})"
    if found.median >= target.at_least:
        return Verdict(target.text, wanted, measured, "met")
    missed = abs(1 - found.median / target.at_least)
    return Verdict(target.text, wanted, measured, f"missed by {missed:.0%}")


def memory(peak, whose):
    megabytes = peak / 1e6
    words = "met" if megabytes < MEMORY else f"missed by {megabytes / MEMORY - 1:.0%}"
    return Verdict(f"memory of kiln, the largest of all ({whose})", f"< {MEMORY} MB",
                   f"{megabytes:.0f} MB", words)
