CREATE TABLE line (
    line_id      bigint PRIMARY KEY,
    invoice_no   varchar(20) NOT NULL,
    stock_code   varchar(20) NOT NULL,
    description  varchar(100) NOT NULL,
    quantity     integer NOT NULL,
    unit_price   decimal(12,3) NOT NULL,
    sold_at      datetime NOT NULL,
    customer_id  integer,
    country      varchar(40) NOT NULL
) ENGINE = InnoDB;
