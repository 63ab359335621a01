-- The tables of the job, for SQLite. Money is TEXT: SQLite has no exact type
-- of its own for it, and kiln writes and adds it exactly.
CREATE TABLE IF NOT EXISTS items (
    id    INTEGER PRIMARY KEY,
    code  TEXT NOT NULL UNIQUE,
    name  TEXT
);

CREATE TABLE IF NOT EXISTS transactions (
    invoice_no   TEXT NOT NULL,
    item_id      INTEGER NOT NULL REFERENCES items (id),
    quantity     INTEGER NOT NULL,
    unit_cost    TEXT NOT NULL,
    sold_at      TEXT NOT NULL,
    source_line  INTEGER NOT NULL
);

CREATE TABLE IF NOT EXISTS inventory (
    item_id   INTEGER PRIMARY KEY REFERENCES items (id),
    quantity  INTEGER NOT NULL
);
