"""What several parts need: kiln's and psql's commands, fresh tables, checks."""

from harness.tools import BENCH, kiln, python

COLUMNS = ("line_id, invoice_no, stock_code, description, quantity, unit_price, sold_at, "
           "customer_id, country")


def run_kiln(job, lines, url, chunk=5_000, lanes=1, **params):
    """The command that runs one of bench/jobs."""
    params = {"file": lines.path, "url": url, "chunk": chunk, "lanes": lanes, **params}
    words = [word for key, value in params.items() for word in ("--param", f"{key}={value}")]
    return lambda: [kiln(), "run", BENCH / "jobs" / f"{job}.toml", "--again", "--quiet", *words]


def script(name, *words):
    """The command that runs one of bench/scripts."""
    return lambda: [python(), BENCH / "scripts" / f"{name}.py", *words]


def psql(url, *statements):
    """The command that runs statements in one session."""
    words = [word for statement in statements for word in ("-c", statement)]
    return lambda: ["psql", "-X", "-q", "-v", "ON_ERROR_STOP=1", url, *words]


def copy(lines, table="line"):
    return rf"\copy {table} ({COLUMNS}) from '{lines.path}' with (format csv, header)"


def schema(kind):
    return (BENCH / "sql" / f"line.{kind}.sql").read_text()


def fresh(server, before=tuple):
    """Empty tables, and nothing dirty left behind; `before` gives more statements."""
    def prepare():
        server.sql("DROP TABLE IF EXISTS line, stock", schema("postgres"), *before())
        server.settle()
    return prepare


FACTS = ("SELECT count(*), sum(quantity), sum(CAST(unit_price * 1000 AS {integer})), "
         "sum(customer_id) FROM line")


def holds(server, facts, integer="bigint"):
    """Checks that exactly the good lines are in the table."""
    def check():
        found = server.sql(FACTS.format(integer=integer)).replace("|", " ").replace("\t", " ")
        return differs(found.split(), facts)
    return check


def differs(found, facts):
    wanted = [facts[key] for key in ("rows", "quantity", "price_millis", "customers")]
    if [round(float(value)) for value in found] == wanted:
        return ""
    return f"the table shows {found} instead of {wanted} (rows, quantity, price, customers)"
