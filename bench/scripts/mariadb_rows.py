"""mariadb_rows.py FILE PORT SIZE: statements of 500 rows, so many lines a transaction."""

import sys

import pymysql

from lines import INSERT, batches, read

path, port, size = sys.argv[1:4]
connection = pymysql.connect(host="127.0.0.1", port=int(port), user="bench", password="bench",
                             database="bench")
with connection, connection.cursor() as cursor:
    # About 500 rows: the driver cuts its statements by length.
    cursor.max_stmt_length = 500 * 110
    for batch in batches(read(path), int(size)):
        cursor.executemany(INSERT, batch)
        connection.commit()
