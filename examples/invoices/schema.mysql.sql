-- The tables of the job, for MariaDB and MySQL. Codes are compared letter by
-- letter: the usual collations take a capital for its small letter.
CREATE TABLE IF NOT EXISTS items (
    id    BIGINT AUTO_INCREMENT PRIMARY KEY,
    code  VARCHAR(50) CHARACTER SET utf8mb4 COLLATE utf8mb4_bin NOT NULL UNIQUE,
    name  VARCHAR(255) CHARACTER SET utf8mb4
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS transactions (
    invoice_no   VARCHAR(50) NOT NULL,
    item_id      BIGINT NOT NULL,
    quantity     INTEGER NOT NULL,
    unit_cost    DECIMAL(12,3) NOT NULL,
    sold_at      DATETIME NOT NULL,
    source_line  BIGINT NOT NULL,
    FOREIGN KEY (item_id) REFERENCES items (id)
) ENGINE = InnoDB;

CREATE TABLE IF NOT EXISTS inventory (
    item_id   BIGINT PRIMARY KEY,
    quantity  BIGINT NOT NULL,
    FOREIGN KEY (item_id) REFERENCES items (id)
) ENGINE = InnoDB;
