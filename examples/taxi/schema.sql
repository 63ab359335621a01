-- The same for SQLite, PostgreSQL and MariaDB.
CREATE TABLE IF NOT EXISTS daily (
    day                 DATE    NOT NULL,
    day_number          INTEGER NOT NULL,   -- days since 1970-01-01
    trips               BIGINT  NOT NULL,
    cents               BIGINT  NOT NULL,
    hundredths_of_miles BIGINT  NOT NULL,
    trips_of_week       BIGINT,
    cents_of_week       BIGINT,
    PRIMARY KEY (day, day_number)
);
