"""The programs that take part: found, built or installed."""

import json
import os
import shutil
import subprocess
import sys
import venv
from functools import cache
from pathlib import Path

BENCH = Path(__file__).resolve().parents[1]
WORK = BENCH / ".work"


class Missing(Exception):
    """A program can't be had here; the text says why."""


def say(text):
    print(text, file=sys.stderr, flush=True)


def build(what, command, **more):
    """Runs a command that builds or installs something."""
    say(f"  {what}: {' '.join(map(str, command))}")
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, **more)
    if done.returncode != 0:
        last = (done.stderr or done.stdout).strip().splitlines()[-3:]
        raise Missing(f"{what} can't be had: {' / '.join(last)}")
    return done.stdout


@cache
def install(package):
    """A package of Debian's, if this machine can install one."""
    if not shutil.which("apt-get"):
        raise Missing(f"{package} is missing, and there is no apt-get to install it")
    root = [] if os.getuid() == 0 else ["sudo", "-n"]
    env = [*root, "env", "DEBIAN_FRONTEND=noninteractive"]
    build("package lists", [*env, "apt-get", "update", "-q"])
    build(package, [*env, "apt-get", "install", "-qy", "--no-install-recommends", package])


def program(name, package):
    """The path of a program; its package is installed where it is missing."""
    if not shutil.which(name):
        install(package)
    return shutil.which(name)


def newer(made, *sources):
    return made.exists() and all(made.stat().st_mtime >= s.stat().st_mtime for s in sources)


@cache
def small(name):
    """One of the small Rust programs in bench/tools."""
    source, made = BENCH / "tools" / f"{name}.rs", WORK / name
    if not newer(made, source):
        build(name, ["rustc", "--edition", "2024", "-O", "-o", made, source])
    return made


@cache
def kiln(path=None):
    """kiln itself, as a release; or the program that KILN names."""
    if path := os.environ.get("KILN"):
        return Path(path).resolve()
    lines = build("kiln", ["cargo", "build", "--release", "-p", "kiln-cli",
                           "--message-format=json-render-diagnostics"], cwd=BENCH.parent)
    made = [json.loads(line).get("executable") for line in lines.splitlines()]
    return Path([path for path in made if path][-1])


@cache
def python():
    """A Python with the drivers that people use."""
    path = WORK / "venv" / "bin" / "python"
    if not path.exists():
        venv.create(WORK / "venv", with_pip=True)
    have = subprocess.run([path, "-c", "import psycopg, pymysql, zstandard"], capture_output=True)
    if have.returncode != 0:
        build("Python's drivers",
              [path, "-m", "pip", "install", "-q", "psycopg[binary]", "pymysql", "zstandard"])
    return path


@cache
def spring_batch():
    """The words of a command that runs Spring Batch; arguments follow."""
    folder = BENCH / "spring-batch"
    java = program("java", "openjdk-17-jdk-headless")
    sources = [folder / "pom.xml", folder / "src/main/java/bench/Lines.java"]
    if not newer(folder / "target" / "lib", *sources):
        maven = program("mvn", "maven")
        build("Spring Batch", [maven, "-q", "-B", "clean", "package"], cwd=folder)
        (folder / "target" / "lib").touch()
    return [java, "-cp", f"{folder}/target/classes:{folder}/target/lib/*", "bench.Lines"]


@cache
def spring_batch_rs():
    """The program that uses spring-batch-rs."""
    target = Path(os.environ.get("CARGO_TARGET_DIR", WORK)) / "spring-batch-rs"
    build("spring-batch-rs", ["cargo", "build", "--release", "--target-dir", target],
          cwd=BENCH / "spring-batch-rs")
    return target / "release" / "bench-spring-batch-rs"
