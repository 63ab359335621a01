"""line_by_line.py FILE URL: a transaction for every line."""

import sys

import psycopg

from lines import INSERT, read

path, url = sys.argv[1:3]
with psycopg.connect(url, autocommit=True) as connection:
    for line in read(path):
        connection.execute(INSERT, line)
