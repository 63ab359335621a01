"""Throw-away servers, with the settings that they come with.

They run as a user who is not root, on 127.0.0.1, and are gone at the end.
"""

import glob
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

from .tools import Missing, install

TICKS = os.sysconf("SC_CLK_TCK")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def cpu_of(pid):
    """CPU seconds of a process, and of its children that have ended."""
    try:
        with open(f"/proc/{pid}/stat") as stat:
            fields = stat.read().rpartition(")")[2].split()
    except OSError:
        return 0.0, 0.0
    own, ended = sum(map(int, fields[11:13])), sum(map(int, fields[13:15]))
    return own / TICKS, ended / TICKS


def children_of(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as children:
        return [int(child) for child in children.read().split()]


class Server:
    """A folder of its own and a process in it."""

    user = ""

    def __init__(self, below):
        self.folder = Path(tempfile.mkdtemp(prefix="kiln-bench.", dir=below))
        self.port = free_port()
        self.is_root = os.getuid() == 0
        if self.is_root:
            shutil.chown(self.folder, self.user)

    def as_user(self, *words):
        return ["runuser", "-u", self.user, "--", *words] if self.is_root else list(words)

    def do(self, *words, **more):
        done = subprocess.run(
            [str(word) for word in words], cwd="/", capture_output=True, text=True, **more
        )
        if done.returncode != 0:
            raise RuntimeError(f"{words}: {done.stderr or done.stdout}")
        return done.stdout.strip()

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


class Postgres(Server):
    """PostgreSQL as it comes (fsync on), but without autovacuum: it would come
    in the way of whoever has the turn."""

    name = "PostgreSQL"
    user = "postgres"
    settings = {"autovacuum": "off"}

    def __init__(self, below):
        programs = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
        if not programs:
            install("postgresql")
            programs = sorted(glob.glob("/usr/lib/postgresql/*/bin/initdb"))
        self.programs = Path(programs[-1]).parent
        super().__init__(below)
        data = self.folder / "data"
        self.do(*self.as_user(self.programs / "initdb", "-D", data, "-U", "bench", "-A", "trust",
                              "-E", "UTF8", "--locale=C.UTF-8"))
        conf = {"listen_addresses": "'127.0.0.1'", "unix_socket_directories": "''",
                "port": self.port, **self.settings}
        with open(data / "postgresql.conf", "a") as file:
            file.writelines(f"{key} = {value}\n" for key, value in conf.items())
        # Its output goes to a file: a pipe would be held open by the server.
        self.do(*self.as_user("sh", "-c", 'exec "$0" -D "$1" -l "$2" -w start >/dev/null 2>&1',
                              self.programs / "pg_ctl", data, self.folder / "log"))
        self.pid = int((data / "postmaster.pid").read_text().split()[0])

    def url(self, port=None):
        return f"postgres://bench@127.0.0.1:{port or self.port}/postgres"

    def sql(self, *statements):
        """Runs statements one by one; gives what the last one says."""
        words = [word for statement in statements for word in ("-c", statement)]
        return self.do("psql", "-XAtq", "-v", "ON_ERROR_STOP=1", self.url(), *words)

    def version(self):
        return "PostgreSQL " + self.sql("SHOW server_version")

    def cpu(self):
        """CPU seconds so far. Waits for the sessions that are about to end."""
        for _ in range(200):
            own, ended = cpu_of(self.pid)
            if self.backends() == 0:
                break
            time.sleep(0.01)
        return own + ended + sum(cpu_of(child)[0] for child in children_of(self.pid))

    def backends(self):
        count = 0
        for child in children_of(self.pid):
            try:
                title = Path(f"/proc/{child}/cmdline").read_text()
            except OSError:
                continue
            count += "127.0.0.1" in title
        return count

    def settle(self):
        """Writes out what is dirty, so that nobody pays for the one before."""
        self.sql("CHECKPOINT")

    def stop(self):
        subprocess.run(self.as_user(self.programs / "pg_ctl", "-D", self.folder / "data",
                                    "-m", "immediate", "-w", "stop"),
                       cwd="/", capture_output=True)
        self.remove()


class MariaDb(Server):
    """MariaDB as it comes (flushed at each commit), local files allowed."""

    name = "MariaDB"
    user = "mysql"

    def __init__(self, below):
        if not shutil.which("mariadbd"):
            install("mariadb-server")
        super().__init__(below)
        data = self.folder / "data"
        self.do(*self.as_user("mariadb-install-db", "--no-defaults", f"--datadir={data}",
                              "--auth-root-authentication-method=normal", "--skip-test-db"))
        self.process = subprocess.Popen(
            self.as_user(shutil.which("mariadbd"), "--no-defaults", f"--datadir={data}",
                         f"--socket={self.folder}/socket", f"--port={self.port}",
                         "--bind-address=127.0.0.1", "--local-infile=1",
                         f"--pid-file={self.folder}/pid", f"--log-error={self.folder}/log"),
            cwd="/", stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.wait()
        self.pid = int((self.folder / "pid").read_text())
        self.root("CREATE DATABASE bench;"
                  "CREATE USER bench@'127.0.0.1' IDENTIFIED BY 'bench';"
                  "GRANT ALL ON *.* TO bench@'127.0.0.1'")

    def wait(self):
        for _ in range(300):
            if (self.folder / "pid").exists():
                try:
                    return self.root("SELECT 1")
                except RuntimeError:
                    pass
            time.sleep(0.1)
        raise Missing(f"MariaDB does not start: {(self.folder / 'log').read_text()[-500:]}")

    def url(self, port=None):
        return f"mysql://bench:bench@127.0.0.1:{port or self.port}/bench"

    def client(self):
        """The words of a command that speaks to it."""
        return ["mariadb", "--no-defaults", "-h", "127.0.0.1", "-P", self.port, "-u", "bench",
                "-pbench", "--local-infile=1", "bench"]

    def sql(self, *statements):
        """Runs statements one by one; gives what they say."""
        return self.root(";".join(statements), "bench")

    def root(self, statements, *database):
        return self.do("mariadb", "--no-defaults", f"--socket={self.folder}/socket", "-u", "root",
                       "-N", "-B", "-e", statements, *database)

    def version(self):
        return "MariaDB " + self.sql("SELECT version()")

    def cpu(self):
        return sum(cpu_of(self.pid))

    def settle(self):
        """Writes out what is dirty, so that nobody pays for the one before."""
        self.root("SET GLOBAL innodb_max_dirty_pages_pct = 0")
        for _ in range(200):
            dirty = self.root("SHOW GLOBAL STATUS LIKE 'Innodb_buffer_pool_pages_dirty'")
            if int(dirty.split()[-1]) < 50:
                break
            time.sleep(0.05)
        self.root("SET GLOBAL innodb_max_dirty_pages_pct = DEFAULT")

    def stop(self):
        os.kill(self.pid, signal.SIGKILL)
        self.process.wait()
        self.remove()
