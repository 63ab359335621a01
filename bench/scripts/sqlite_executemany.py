"""sqlite_executemany.py FILE DATABASE SIZE: so many lines a transaction."""

import sqlite3
import sys

from lines import batches, read

INSERT = "INSERT INTO line VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)"

path, database, size = sys.argv[1:4]
connection = sqlite3.connect(database)
for batch in batches(read(path), int(size)):
    with connection:
        connection.executemany(INSERT, batch)
connection.close()
