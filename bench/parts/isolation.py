"""Bad items in PostgreSQL: the good ones are written, the bad ones put aside."""

from harness.contest import Contender, Contest
from harness.data import lines

from .common import fresh, holds, run_kiln, script
from .insert import pgloader

# Of so many lines one is bad.
SHARES = {"none bad": 0, "0.1 % bad": 1_000, "1 % bad": 100, "10 % bad": 10}
KINDS = {
    "duplicate": "a key that is there already",
    "number": "a quantity that is no number, found by the database",
}


def contests(bench):
    server = bench.postgres()
    return [contest(bench, server, kind, title) for kind, title in KINDS.items()]


def contest(bench, server, kind, title):
    count, start, contenders = bench.size(100_000), fresh(server), []
    # Where kiln is not told that the quantity is a number, the server finds out.
    typed = {} if kind == "duplicate" else {"quantity": "text"}

    def add(name, file, command):
        contenders.append(Contender(name, command, file.lines, start,
                                    holds(server, file.facts)))

    def variant(every, n=count):
        return lines(n, kind=kind if every else None, every=every)

    for chunk in (5_000, 1_000):
        for share, every in SHARES.items():
            file = variant(every)
            add(f"kiln, chunk {chunk:,}: {share}", file,
                run_kiln("insert", file, server.url(), chunk, **typed))
    for share, every in SHARES.items():
        file = variant(every, bench.size(5_000))
        add(f"psycopg executemany(500), then line by line: {share}", file,
            script("executemany", file.path, server.url(), 500, "isolate"))
    for share, every in SHARES.items():
        file = variant(every, bench.size(5_000))
        add(f"pgloader: {share}", file, lambda file=file: pgloader(file, server.url()))
    return Contest(f"bad-{kind}", f"Bad items in PostgreSQL: {title}", contenders, server)
