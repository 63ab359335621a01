"""The tables of RESULTS.md."""

import os
import platform
import subprocess
from datetime import datetime, timezone

from .contest import ratio


def machine(folder):
    """What was measured on: processor, memory, disk, system."""
    with open("/proc/cpuinfo") as info:
        models = [line.split(":", 1)[1].strip() for line in info if line.startswith("model name")]
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    disk = output("findmnt", "-n", "-o", "FSTYPE", "--target", str(folder))
    return [f"{len(models)} × {models[0] if models else platform.machine()}, {memory:.0f} GiB, "
            f"{disk} on disk", f"{system()}, Linux {platform.release()}"]


def system():
    try:
        return platform.freedesktop_os_release()["PRETTY_NAME"]
    except OSError:
        return platform.system()


def output(*words):
    try:
        return subprocess.run(words, capture_output=True, text=True).stdout.strip()
    except OSError:
        return "unknown"


def markdown(held, verdicts, facts, seconds, quick):
    """The whole of RESULTS.md."""
    when = datetime.now(timezone.utc).strftime("%Y-%m-%d %H:%M UTC")
    lines = ["# Results", "",
             f"{when}, in {seconds / 60:.0f} minutes. How it is measured: [README.md](README.md).",
             ""]
    if quick:
        lines += ["**A quick run: small files and few rounds. Not for quoting.**", ""]
    lines += [f"- {fact}" for fact in facts]
    lines += ["", "![Rates](results.svg)", ""]
    if verdicts:
        lines += targets(verdicts)
    for contest, results in held:
        lines += section(contest, results)
    return "\n".join(lines) + "\n"


def targets(verdicts):
    rows = [[v.text, v.wanted, v.measured, v.words] for v in verdicts]
    return ["## Targets", "",
            "Medians of the rounds' ratios, in brackets the lowest and the highest.", "",
            *table(["what", "wanted", "measured", ""], rows), ""]


def section(contest, results):
    first = results[0]
    rows = [row(result, first) for result in results if result.samples]
    lines = [f"## {contest.title}", "",
             *table(["", "items", "rounds", "s", "items/s", f"× {first.name}", "lowest–highest",
                     "client CPU s/M", "server CPU s/M", "peak MB"], rows), ""]
    notes = [f"- {r.name}: {note}".replace("\n", " / ")
             for r in results for note in (r.note, r.void) if note]
    return lines + (notes + [""] if notes else [])


def row(result, first):
    found = ratio(result, first)
    return [result.name, f"{result.items:,}", str(len(result.samples)), f"{result.seconds:.2f}",
            f"{result.items_per_second:,.0f}", digits(found.median) if found else "–",
            f"{digits(found.low)}–{digits(found.high)}" if found else "–",
            f"{result.client_cpu:.2f}", f"{result.server_cpu:.2f}", f"{result.peak / 1e6:.0f}"]


def digits(value):
    """Two of them that say something."""
    return f"{value:.2f}" if value >= 0.1 else f"{value:.2g}"


def table(head, rows):
    """A table whose first column holds words, and the others numbers."""
    aligned = ["---", *("---:" for _ in head[1:])]
    return ["| " + " | ".join(line) + " |" for line in [head, aligned, *rows]]
