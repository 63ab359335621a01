"""A file of invoice lines into an empty table of MariaDB."""

from harness.contest import Contender, Contest
from harness.data import lines
from harness.tools import program

from .common import COLUMNS, holds, run_kiln, schema, script

# `''` in a column that may be NULL would be 0.
LOAD = """\
LOAD DATA LOCAL INFILE '{path}' INTO TABLE line CHARACTER SET utf8mb4
FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '"' ESCAPED BY '' LINES TERMINATED BY '\\n'
IGNORE 1 LINES ({columns}) SET customer_id = nullif(@customer, '')"""


def contests(bench):
    server = bench.mariadb()
    many, sample = lines(bench.size(500_000)), lines(bench.size(50_000))
    columns = COLUMNS.replace("customer_id", "@customer")
    load = LOAD.format(path=many.path, columns=columns)
    program("mariadb", "mariadb-client")

    def start():
        server.sql("DROP TABLE IF EXISTS line", schema("mariadb"))
        server.settle()

    def contender(name, file, command):
        return Contender(name, command, file.lines, start,
                         holds(server, file.facts, integer="signed"))

    return [Contest("mariadb", "Insert into MariaDB", [
        contender("LOAD DATA LOCAL, the whole file", many, lambda: [*server.client(), "-e", load]),
        contender("kiln, chunk 5,000", many, run_kiln("insert", many, server.url())),
        contender("kiln, chunk 1,000", many, run_kiln("insert", many, server.url(), 1_000)),
        contender("kiln, chunk 5,000, 2 lanes", many,
                  run_kiln("insert", many, server.url(), lanes=2)),
        contender("PyMySQL, statements of 500 lines, 5,000 a transaction", sample,
                  script("mariadb_rows", sample.path, server.port, 5_000)),
    ], server)]
