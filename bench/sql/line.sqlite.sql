CREATE TABLE line (
    line_id      INTEGER PRIMARY KEY,
    invoice_no   TEXT NOT NULL,
    stock_code   TEXT NOT NULL,
    description  TEXT NOT NULL,
    quantity     INTEGER NOT NULL,
    unit_price   TEXT NOT NULL,
    sold_at      TEXT NOT NULL,
    customer_id  INTEGER,
    country      TEXT NOT NULL
);
