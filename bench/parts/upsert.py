"""Changes by key in PostgreSQL: upserts into an empty and a full table, increments."""

from harness.contest import Contender, Contest
from harness.data import OTHER_SEED, lines

from .common import COLUMNS, copy, fresh, holds, psql, run_kiln, script

# The whole file in one statement: what a person does who has the time to write it.
STAGING = "CREATE TEMP TABLE staged (LIKE line) ON COMMIT PRESERVE ROWS"
CHANGED = ", ".join(f"{c} = excluded.{c}" for c in COLUMNS.split(", ")[1:])
MERGE = f"INSERT INTO line SELECT * FROM staged ON CONFLICT (line_id) DO UPDATE SET {CHANGED}"
ADD = ("INSERT INTO stock SELECT stock_code, sum(quantity) FROM staged GROUP BY 1 "
       "ON CONFLICT (stock_code) DO UPDATE SET quantity = stock.quantity + excluded.quantity")


def contests(bench):
    server = bench.postgres()
    return [empty(bench, server), full(bench, server), increments(bench, server)]


def empty(bench, server):
    url, many, half = server.url(), lines(bench.size(1_000_000)), lines(bench.size(500_000))
    sample = lines(bench.size(50_000))
    start = fresh(server)

    def contender(name, file, command, rounds=None):
        return Contender(name, command, file.lines, start, holds(server, file.facts), rounds)

    return Contest("upsert-empty", "Upsert into an empty table of PostgreSQL", [
        contender(r"psql \copy (plain insert)", many, psql(url, copy(many))),
        contender("kiln, chunk 5,000", many, run_kiln("upsert", many, url)),
        contender("kiln, chunk 1,000", half, run_kiln("upsert", half, url, 1_000)),
        contender("kiln, chunk 5,000, 2 lanes", many, run_kiln("upsert", many, url, lanes=2)),
        contender(r"psql, \copy to a staging table, then one upsert", many, staged(url, many)),
        contender("psycopg executemany, 500 a transaction", sample,
                  script("executemany", sample.path, url, 500, "upsert")),
    ], server)


def full(bench, server):
    """Every line is there already, with other values."""
    url, count = server.url(), bench.size(300_000)
    there, many = lines(count, OTHER_SEED), lines(count)
    sample = lines(bench.size(50_000))
    fill = psql(url, copy(there))
    empty = fresh(server)

    def start():
        empty()
        server.do(*fill())
        server.settle()

    def holds_after(file):
        if file.lines == count:
            return holds(server, file.facts)
        rest = {key: there.facts[key] - lines(file.lines, OTHER_SEED).facts[key] + file.facts[key]
                for key in file.facts}
        return holds(server, rest)

    def contender(name, file, command):
        return Contender(name, command, file.lines, start, holds_after(file))

    return Contest("upsert-full", "Upsert into a full table of PostgreSQL", [
        contender(r"psql, \copy to a staging table, then one upsert", many, staged(url, many)),
        contender("kiln, chunk 5,000", many, run_kiln("upsert", many, url)),
        contender("kiln, chunk 5,000, 2 lanes", many, run_kiln("upsert", many, url, lanes=2)),
        contender("psycopg executemany, 500 a transaction", sample,
                  script("executemany", sample.path, url, 500, "upsert")),
    ], server)


def increments(bench, server):
    url, many, sample = server.url(), lines(bench.size(1_000_000)), lines(bench.size(20_000))
    start = fresh(server)

    def adds_up(file):
        def check():
            found = int(server.sql("SELECT sum(quantity) FROM stock") or 0)
            wanted = file.facts["quantity"]
            return "" if found == wanted else f"the stock is {found} instead of {wanted}"
        return check

    def contender(name, file, command):
        return Contender(name, command, file.lines, start, adds_up(file))

    return Contest("increment", "Increments in PostgreSQL: 4,000 sums", [
        contender(r"psql, \copy to a staging table, then one statement", many,
                  psql(url, STAGING, copy(many, "staged"), ADD)),
        contender("kiln, chunk 5,000", many, run_kiln("increment", many, url)),
        contender("kiln, chunk 1,000", many, run_kiln("increment", many, url, 1_000)),
        contender("kiln, chunk 5,000, 2 lanes", many, run_kiln("increment", many, url, lanes=2)),
        contender("psycopg executemany, 500 a transaction", sample,
                  script("increments", sample.path, url, 500)),
    ], server)


def staged(url, file):
    return psql(url, STAGING, copy(file, "staged"), MERGE)
