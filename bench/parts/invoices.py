"""The job of examples/invoices whole, against the scripts that people write for it."""

import os
import subprocess
import sys
from itertools import islice
from pathlib import Path

from harness.contest import Contender, Contest
from harness.tools import BENCH, WORK, kiln, python

from .common import script

EXAMPLE = BENCH.parent / "examples" / "invoices"
RETAIL = "online-retail/online-retail.csv.zst"
UNPACK = """\
import sys, zstandard
with open(sys.argv[1], "rb") as packed, open(sys.argv[2], "wb") as plain:
    zstandard.ZstdDecompressor().copy_stream(packed, plain)
"""

TABLES = "DROP TABLE IF EXISTS inventory, transactions, items"
FACTS = ("SELECT (SELECT count(*) FROM items), count(*), sum(quantity), sum(quantity * unit_cost), "
         "(SELECT sum(quantity) FROM inventory) FROM transactions")


def contests(bench):
    server = bench.postgres()
    whole, words = source()
    count = lines_of(whole)
    large, middle, small = (min(count, bench.size(n)) for n in (count, 50_000, 5_000))
    files = {n: first(whole, n) for n in (large, middle, small)}
    setup = (EXAMPLE / "schema.postgres.sql").read_text()

    def start():
        server.sql(TABLES, setup)
        server.settle()

    def holds(path):
        wanted = oracle(path)

        def check():
            found = server.sql(FACTS)
            return "" if found == wanted else f"the tables show {found} instead of {wanted}"
        return check

    def contender(name, n, command, rounds=None):
        return Contender(name, command, n, start, holds(files[n]), rounds)

    def run_kiln():
        return [kiln(), "run", EXAMPLE / "job.toml", "--again", "--quiet", "--param",
                f"file={files[large]}", "--param", f"url={server.url()}"]

    return [Contest("invoices", f"The invoices job in PostgreSQL: {words}", [
        contender("script, batched by 500", middle,
                  script("invoices_batched", files[middle], server.url())),
        contender("script, item by item", small,
                  script("invoices_naive", files[small], server.url())),
        contender("kiln", large, run_kiln),
    ], server)]


def source():
    """The whole file where it is, else the day that lies in the repository."""
    folder = Path(os.environ.get("KILN_SHARED_DATA", BENCH.parents[1] / "shared" / "data"))
    packed, plain = folder / RETAIL, WORK / "online-retail.csv"
    if not packed.exists():
        return EXAMPLE / "online-retail-day.csv", "one day of Online Retail"
    if not plain.exists():
        subprocess.run([python(), "-c", UNPACK, packed, plain], check=True)
    return plain, "Online Retail"


def lines_of(path):
    with open(path, encoding="utf-8") as file:
        return sum(1 for _ in file) - 1


def first(path, count):
    """A file of the first so many items; in this data every item is one line."""
    part = WORK / f"{path.stem}-{count}.csv"
    if not part.exists():
        with open(path, encoding="utf-8") as file:
            part.write_text("".join(islice(file, count + 1)), encoding="utf-8")
    return part


def oracle(path):
    """What the tables must show, reckoned from the file alone."""
    sys.path.insert(0, str(BENCH / "scripts"))
    from invoices import items
    good = [item for item in items(path) if item.price > 0]
    codes = {item.code for item in good}
    quantity = sum(item.quantity for item in good)
    value = sum(item.quantity * item.price for item in good)
    return f"{len(codes)}|{len(good)}|{quantity}|{value:.3f}|{quantity}"
