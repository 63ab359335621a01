CREATE TABLE line (
    line_id      bigint PRIMARY KEY,
    invoice_no   text NOT NULL,
    stock_code   text NOT NULL,
    description  text NOT NULL,
    quantity     integer NOT NULL,
    unit_price   numeric(12,3) NOT NULL,
    sold_at      timestamp NOT NULL,
    customer_id  integer,
    country      text NOT NULL
);
CREATE TABLE stock (
    stock_code  text PRIMARY KEY,
    quantity    bigint NOT NULL
);
