-- The ledger: runs, how far their lanes got, the items that failed, and the
-- rules that items broke. Run by kiln when it, or a part of it, is not there yet; whoever may not create a schema can
-- have it run by somebody who may, and needs then USAGE on the schema and
-- SELECT, INSERT and UPDATE on its tables.
CREATE SCHEMA IF NOT EXISTS kiln;

CREATE TABLE IF NOT EXISTS kiln.runs (
    run            text PRIMARY KEY,
    number         bigint GENERATED ALWAYS AS IDENTITY,
    job            text NOT NULL,
    parameters     text NOT NULL,
    source         text NOT NULL,
    definition     text NOT NULL,
    state          text NOT NULL
                   CHECK (state IN ('running', 'stopped', 'failed', 'completed', 'abandoned')),
    epoch          bigint NOT NULL,
    owner_host     text NOT NULL,
    owner_pid      bigint NOT NULL,
    owner_identity text NOT NULL,
    lease_until    timestamptz NOT NULL,
    started_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    claimed_at     timestamptz NOT NULL DEFAULT clock_timestamp(),
    ended_at       timestamptz,
    message        text
);
-- Of one job with the same parameters, one run can be open. Parameters may be
-- longer than an index takes.
CREATE UNIQUE INDEX IF NOT EXISTS runs_open
    ON kiln.runs (job, sha256(replace(parameters, '\', '\\')::bytea))
    WHERE state IN ('running', 'stopped', 'failed');
CREATE INDEX IF NOT EXISTS runs_job ON kiln.runs (job, number);

CREATE TABLE IF NOT EXISTS kiln.marks (
    run           text NOT NULL,
    step          text NOT NULL,
    lane          bigint NOT NULL,
    epoch         bigint NOT NULL,
    done          bigint NOT NULL DEFAULT 0,
    place_ordinal bigint NOT NULL DEFAULT 0,
    place         text NOT NULL DEFAULT '',
    state         bytea,
    read          bigint NOT NULL DEFAULT 0,
    processed     bigint NOT NULL DEFAULT 0,
    filtered      bigint NOT NULL DEFAULT 0,
    duplicate     bigint NOT NULL DEFAULT 0,
    failed        bigint NOT NULL DEFAULT 0,
    at            timestamptz NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (run, step, lane)
) WITH (fillfactor = 50);

CREATE TABLE IF NOT EXISTS kiln.dead_letters (
    run             text NOT NULL,
    step            text NOT NULL,
    ordinal         bigint NOT NULL,
    source          text NOT NULL,
    line            bigint,
    key             text,
    byte_offset     bigint,
    raw             text NOT NULL,
    escaped         boolean NOT NULL,
    stage           text NOT NULL,
    code            text,
    constraint_name text,
    column_name     text,
    message         text NOT NULL,
    tries           integer NOT NULL,
    at              timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run, step, ordinal)
);
COMMENT ON COLUMN kiln.dead_letters.escaped IS
    'raw held NUL: it stands there as \x00, and each backslash is doubled';

-- Dead letters that a later run has settled.
CREATE TABLE IF NOT EXISTS kiln.redriven (
    run     text NOT NULL,
    step    text NOT NULL,
    ordinal bigint NOT NULL,
    by_run  text NOT NULL,
    at      timestamptz NOT NULL DEFAULT now(),
    PRIMARY KEY (run, step, ordinal)
);

CREATE TABLE IF NOT EXISTS kiln.rules (
    run    text NOT NULL,
    step   text NOT NULL,
    lane   bigint NOT NULL,
    rule   text NOT NULL,
    failed bigint NOT NULL,
    warned bigint NOT NULL,
    PRIMARY KEY (run, step, lane, rule)
) WITH (fillfactor = 50);

-- Version 1 had no rules, version 2 nothing redriven.
CREATE TABLE IF NOT EXISTS kiln.meta (version integer NOT NULL);
INSERT INTO kiln.meta (version) SELECT 3 WHERE NOT EXISTS (SELECT FROM kiln.meta);
UPDATE kiln.meta SET version = 3 WHERE version < 3;
