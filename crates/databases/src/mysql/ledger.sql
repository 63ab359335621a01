-- The ledger: runs, how far their lanes got, the items that failed, and the
-- rules that items broke. Run by kiln when it, or a part of it, is not there yet; whoever may not create tables can have
-- it run by somebody who may, and needs then SELECT, INSERT and UPDATE on them.
CREATE TABLE IF NOT EXISTS kiln_runs (
    run            VARCHAR(255) NOT NULL PRIMARY KEY,
    number         BIGINT NOT NULL AUTO_INCREMENT UNIQUE,
    job            TEXT NOT NULL,
    parameters     LONGTEXT NOT NULL,
    -- Tells job and parameters apart, whatever their length.
    same           BINARY(32) NOT NULL,
    source         LONGTEXT NOT NULL,
    definition     LONGTEXT NOT NULL,
    state          VARCHAR(20) NOT NULL
                   CHECK (state IN ('running', 'stopped', 'failed', 'completed', 'abandoned')),
    epoch          BIGINT NOT NULL,
    owner_host     TEXT NOT NULL,
    owner_pid      BIGINT NOT NULL,
    owner_identity TEXT NOT NULL,
    lease_until    DATETIME(6) NOT NULL,
    started_at     DATETIME(6) NOT NULL,
    claimed_at     DATETIME(6) NOT NULL,
    ended_at       DATETIME(6),
    message        LONGTEXT,
    -- Of one job with the same parameters, one run can be open.
    open_same      BINARY(32) AS (CASE WHEN state IN ('running', 'stopped', 'failed')
                                       THEN same END) STORED UNIQUE,
    KEY runs_same (same, number)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin;

CREATE TABLE IF NOT EXISTS kiln_marks (
    run           VARCHAR(255) NOT NULL,
    step          VARCHAR(255) NOT NULL,
    lane          BIGINT NOT NULL,
    epoch         BIGINT NOT NULL,
    done          BIGINT NOT NULL DEFAULT 0,
    place_ordinal BIGINT NOT NULL DEFAULT 0,
    place         LONGTEXT NOT NULL,
    state         LONGBLOB,
    `read`        BIGINT NOT NULL DEFAULT 0,
    processed     BIGINT NOT NULL DEFAULT 0,
    filtered      BIGINT NOT NULL DEFAULT 0,
    duplicate     BIGINT NOT NULL DEFAULT 0,
    failed        BIGINT NOT NULL DEFAULT 0,
    at            DATETIME(6) NOT NULL,
    PRIMARY KEY (run, step, lane)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;

CREATE TABLE IF NOT EXISTS kiln_dead_letters (
    run             VARCHAR(255) NOT NULL,
    step            VARCHAR(255) NOT NULL,
    ordinal         BIGINT NOT NULL,
    source          TEXT NOT NULL,
    line            BIGINT,
    `key`           LONGTEXT,
    byte_offset     BIGINT,
    raw             LONGTEXT NOT NULL,
    stage           VARCHAR(20) NOT NULL,
    code            TEXT,
    constraint_name TEXT,
    column_name     TEXT,
    message         LONGTEXT NOT NULL,
    tries           BIGINT NOT NULL,
    at              DATETIME(6) NOT NULL,
    PRIMARY KEY (run, step, ordinal)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- Dead letters that a later run has settled.
CREATE TABLE IF NOT EXISTS kiln_redriven (
    run     VARCHAR(255) NOT NULL,
    step    VARCHAR(255) NOT NULL,
    ordinal BIGINT NOT NULL,
    by_run  VARCHAR(255) NOT NULL,
    at      DATETIME(6) NOT NULL,
    PRIMARY KEY (run, step, ordinal)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;

CREATE TABLE IF NOT EXISTS kiln_rules (
    run    VARCHAR(255) NOT NULL,
    step   VARCHAR(255) NOT NULL,
    lane   BIGINT NOT NULL,
    rule   VARCHAR(255) NOT NULL,
    failed BIGINT NOT NULL,
    warned BIGINT NOT NULL,
    PRIMARY KEY (run, step, lane, rule)
) ENGINE = InnoDB DEFAULT CHARACTER SET utf8mb4 COLLATE utf8mb4_bin ROW_FORMAT = DYNAMIC;

-- Version 1 had no rules, version 2 nothing redriven.
CREATE TABLE IF NOT EXISTS kiln_meta (version INTEGER NOT NULL) ENGINE = InnoDB;
INSERT INTO kiln_meta (version) SELECT 3 FROM DUAL WHERE NOT EXISTS (SELECT 1 FROM kiln_meta);
UPDATE kiln_meta SET version = 3 WHERE version < 3;
