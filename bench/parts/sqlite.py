"""A file of invoice lines into an empty table of SQLite."""

import sqlite3

from harness.contest import Contender, Contest
from harness.data import lines
from harness.tools import program

from .common import FACTS, differs, run_kiln, schema, script


def contests(bench):
    many = lines(bench.size(1_000_000))
    database = Database(bench)

    def contender(name, command, journal, note=""):
        return Contender(name, command, many.lines, lambda: database.fresh(journal),
                         database.holds(many.facts), note=note)

    load = f".import --csv --skip 1 '{many.path}' line"
    return [Contest("sqlite", "Insert into SQLite", [
        contender("sqlite3 .import", lambda: [database.program, database.path, load], "DELETE",
                  "one transaction; NULL becomes the empty text"),
        contender("sqlite3 .import, WAL", lambda: [database.program, database.path, load], "WAL",
                  "the same with the journal that kiln uses"),
        contender("kiln, chunk 5,000", run_kiln("insert", many, database.url), "DELETE"),
        contender("kiln, chunk 1,000", run_kiln("insert", many, database.url, 1_000), "DELETE"),
        contender("Python executemany, 5,000 a transaction",
                  script("sqlite_executemany", many.path, database.path, 5_000), "WAL"),
    ], database)]


class Database:
    """A file beside the servers, so that it lies on the same disk."""

    def __init__(self, bench):
        self.program = program("sqlite3", "sqlite3")
        self.path = bench.folder / "bench.db"
        self.url = f"sqlite:{self.path}"

    def sql(self, *statements):
        connection = sqlite3.connect(self.path, isolation_level=None)
        for statement in statements:
            rows = connection.execute(statement).fetchall()
        connection.close()
        return rows

    def fresh(self, journal):
        for path in self.path.parent.glob("bench.db*"):
            path.unlink()
        self.sql(f"PRAGMA journal_mode = {journal}", schema("sqlite"))

    def holds(self, facts):
        # In a text column a price is a text; times 1,000 it is a float.
        query = FACTS.replace("CAST(unit_price * 1000 AS {integer})",
                              "CAST(round(unit_price * 1000) AS INTEGER)")
        return lambda: differs(self.sql(query)[0], facts)

    def cpu(self):
        """There is no server."""
        return 0.0
