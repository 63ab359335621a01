"""One command, measured."""

import os
import subprocess
import tempfile
import threading
import time
from dataclasses import dataclass


@dataclass
class Sample:
    """What one run of a command took. Seconds, and bytes."""

    wall: float
    client_cpu: float
    server_cpu: float
    peak: int


class Failed(Exception):
    """A command ended with an error; the text says which and how."""


# Whoever takes longer is out.
PATIENCE = 60


def measure(command, server=None, env=None):
    """Runs the command and gives its Sample. `server.cpu()` is the server's CPU time so far."""
    with tempfile.TemporaryFile() as output:
        cpu = server.cpu() if server else 0.0
        start = time.perf_counter()
        process = subprocess.Popen(
            [str(word) for word in command],
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            env={**os.environ, **(env or {})},
        )
        peak, patience = Peak(process.pid), threading.Timer(PATIENCE, process.kill)
        patience.start()
        try:
            _, status, usage = os.wait4(process.pid, 0)
            wall = time.perf_counter() - start
        except BaseException:
            process.kill()
            raise
        finally:
            patience.cancel()
            peak.stop()
        process.returncode = os.waitstatus_to_exitcode(status)
        if wall >= PATIENCE:
            raise Failed(f"stopped after {PATIENCE} seconds")
        if process.returncode != 0:
            raise Failed(ending(command, process.returncode, output))
    return Sample(
        wall=wall,
        client_cpu=usage.ru_utime + usage.ru_stime,
        server_cpu=server.cpu() - cpu if server else 0.0,
        peak=peak.bytes,
    )


def ending(command, code, output):
    output.seek(0)
    lines = output.read().decode(errors="replace").strip().splitlines()[-12:]
    return "\n".join([f"{command[0]} ended with {code}", *lines])


class Peak:
    """The largest resident memory of a process.

    From its own high-water mark every 10 ms: the one that the system reports at
    the end would count what the parent held when it started the process.
    """

    def __init__(self, pid):
        self.bytes = 0
        self.done = threading.Event()
        self.thread = threading.Thread(target=self.watch, args=(f"/proc/{pid}/status",))
        self.thread.start()

    def watch(self, path):
        while not self.done.wait(0.01):
            try:
                with open(path) as status:
                    for line in status:
                        if line.startswith("VmHWM:"):
                            self.bytes = max(self.bytes, int(line.split()[1]) * 1024)
            except OSError:
                return

    def stop(self):
        self.done.set()
        self.thread.join()
