"""copy_chunks.py FILE URL SIZE: COPY, so many lines a transaction."""

import sys

import psycopg

from lines import batches, read

path, url, size = sys.argv[1:4]
with psycopg.connect(url) as connection:
    for batch in batches(read(path), int(size)):
        with connection.cursor() as cursor, cursor.copy("COPY line FROM STDIN") as copy:
            for line in batch:
                copy.write_row(line)
        connection.commit()
