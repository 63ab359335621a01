"""A file of invoice lines into an empty table of PostgreSQL."""

from zipfile import ZipFile

from harness.contest import Contender, Contest
from harness.data import lines
from harness.tools import BENCH, WORK, program, spring_batch, spring_batch_rs

from .common import copy, fresh, holds, psql, run_kiln, script

# The measure of all: what is nearest to it takes part in all five rounds.
ROUNDS, FEW = 5, 3
OFTEN = [(5_000, 1), (5_000, 2), (1_000, 1)]

PGLOADER = """\
LOAD CSV
    FROM '{path}' (line_id, invoice_no, stock_code, description, quantity, unit_price, sold_at,
                   customer_id [null if blanks], country)
    INTO {url}?tablename=line
    WITH skip header = 1, fields optionally enclosed by '"', fields escaped by double-quote,
         fields terminated by ',';
"""


def contests(bench):
    server = bench.postgres()
    url = server.url()
    many, half, third = (lines(bench.size(n)) for n in (1_000_000, 500_000, 300_000))
    sample, few, tiny = (lines(bench.size(n)) for n in (50_000, 5_000, 1_000))

    def contender(name, file, command, rounds=FEW, note="", before=tuple):
        return Contender(name, command, file.lines, fresh(server, before),
                         holds(server, file.facts), rounds, note)

    close = [contender(r"psql \copy", many, psql(url, copy(many)), ROUNDS,
                       "one transaction, nothing but the rows: the limit")]
    for chunk in (5_000, 10_000, 1_000, 500):
        for lanes in (1, 2):
            file = half if chunk == 500 else many
            close.append(contender(kiln_name(chunk, lanes), file,
                                   run_kiln("insert", file, url, chunk, lanes),
                                   ROUNDS if (chunk, lanes) in OFTEN else FEW))
    peers = [
        contender("psycopg COPY, 5,000 a transaction", third,
                  script("copy_chunks", third.path, url, 5_000)),
        contender("psycopg executemany, 500 a transaction", sample,
                  script("executemany", sample.path, url, 500)),
        contender("psycopg, line by line, a transaction each", few,
                  script("line_by_line", few.path, url)),
        contender("pgloader", sample, lambda: pgloader(sample, url)),
        *(contender(name, file, lambda file=file, chunk=chunk: spring(file, server, chunk),
                    before=spring_tables)
          for name, file, chunk in (("Spring Batch 6, chunk 1,000", many, 1_000),
                                    ("Spring Batch 6, chunk 5,000", many, 5_000),
                                    ("Spring Batch 6, hardly more than its start", tiny, 1_000))),
        *(contender(f"spring-batch-rs, chunk {chunk:,}", third,
                    lambda chunk=chunk: [spring_batch_rs(), third.path, url, chunk],
                    before=lambda: CASTS) for chunk in (1_000, 5_000)),
    ]
    return [Contest("insert", "Insert into PostgreSQL", close + peers, server, ROUNDS)]


def kiln_name(chunk, lanes):
    return f"kiln, chunk {chunk:,}" + (f", {lanes} lanes" if lanes > 1 else "")


def pgloader(file, url):
    load = WORK / f"{file.path.stem}.load"
    load.write_text(PGLOADER.format(path=file.path, url=url.replace("postgres:", "postgresql:")))
    return [program("pgloader", "pgloader"), "--quiet", "--root-dir", WORK / "pgloader", load]


def spring(file, server, chunk):
    url = (f"jdbc:postgresql://127.0.0.1:{server.port}/postgres"
           "?reWriteBatchedInserts=true&currentSchema=public,batch")
    return [*spring_batch(), file.path, url, "bench", chunk]


def spring_tables():
    """Spring Batch's own script, run anew in a schema of its own."""
    core = next((BENCH / "spring-batch/target/lib").glob("spring-batch-core-*.jar"))
    with ZipFile(core) as jar:
        script = jar.read("org/springframework/batch/core/schema-postgresql.sql").decode()
    return ("DROP SCHEMA IF EXISTS batch CASCADE", "CREATE SCHEMA batch",
            "SET search_path = batch", script)


# What spring-batch-rs sends as text, the server takes for what it is.
CASTS = (
    "DROP CAST IF EXISTS (text AS timestamp)",
    "DROP CAST IF EXISTS (text AS integer)",
    "CREATE CAST (text AS timestamp) WITH INOUT AS ASSIGNMENT",
    "CREATE CAST (text AS integer) WITH INOUT AS ASSIGNMENT",
)
