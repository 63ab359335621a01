"""The parts of the benchmark: each gives the contests it is made of."""

from . import insert, invoices, isolation, link, mariadb, sqlite, upsert

PARTS = {
    "insert": insert.contests,
    "upsert": upsert.contests,
    "isolation": isolation.contests,
    "link": link.contests,
    "sqlite": sqlite.contests,
    "mariadb": mariadb.contests,
    "invoices": invoices.contests,
}
