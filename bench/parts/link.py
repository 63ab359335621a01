"""A slow link to PostgreSQL: so many milliseconds each way."""

import subprocess

from harness.contest import Contender, Contest
from harness.data import lines
from harness.servers import free_port
from harness.tools import small

from .common import copy, fresh, holds, psql, run_kiln, script


def contests(bench):
    server = bench.postgres()
    return [contest(bench, server, ms) for ms in (0, 1, 5)]


def contest(bench, server, ms):
    link = Link(bench, server.port, ms)
    near, far = server.url(), server.url(link.port)
    many, sample = lines(bench.size(1_000_000)), lines(bench.size(10_000))
    few = lines(200)
    start = fresh(server)

    def contender(name, file, command, rounds=None):
        return Contender(name, command, file.lines, start, holds(server, file.facts), rounds)

    contenders = [
        contender(r"psql \copy", many, psql(far, copy(many))),
        contender("kiln, chunk 5,000", many, run_kiln("insert", many, far)),
    ]
    if ms == 0:
        contenders.append(contender(r"psql \copy, no proxy", many, psql(near, copy(many))))
    else:
        contenders += [
            contender("psycopg executemany, 500 a transaction", sample,
                      script("executemany", sample.path, far, 500)),
            contender("psycopg, line by line, a transaction each", few,
                      script("line_by_line", few.path, far)),
        ]
    title = f"PostgreSQL through a proxy, {ms} ms each way"
    return Contest(f"link-{ms}ms", title, contenders, server)


class Link:
    """A proxy that delays; it ends with the benchmark."""

    def __init__(self, bench, target, ms):
        self.port = free_port()
        self.process = subprocess.Popen(
            [small("delay"), str(self.port), str(ms * 1_000), str(target)],
            stdout=subprocess.PIPE, text=True)
        self.process.stdout.readline()
        bench.at_end(self.stop)

    def stop(self):
        self.process.kill()
        self.process.wait()
