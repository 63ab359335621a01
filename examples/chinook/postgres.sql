-- The tables of Chinook in PostgreSQL. Money is exact, dates are dates.

CREATE TABLE IF NOT EXISTS artist (
    artist_id integer PRIMARY KEY,
    name      varchar(120)
);

CREATE TABLE IF NOT EXISTS genre (
    genre_id integer PRIMARY KEY,
    name     varchar(120)
);

CREATE TABLE IF NOT EXISTS media_type (
    media_type_id integer PRIMARY KEY,
    name          varchar(120)
);

CREATE TABLE IF NOT EXISTS playlist (
    playlist_id integer PRIMARY KEY,
    name        varchar(120)
);

CREATE TABLE IF NOT EXISTS album (
    album_id  integer PRIMARY KEY,
    title     varchar(160) NOT NULL,
    artist_id integer NOT NULL REFERENCES artist
);

CREATE TABLE IF NOT EXISTS track (
    track_id      integer PRIMARY KEY,
    name          varchar(200) NOT NULL,
    album_id      integer REFERENCES album,
    media_type_id integer NOT NULL REFERENCES media_type,
    genre_id      integer REFERENCES genre,
    composer      varchar(220),
    milliseconds  integer NOT NULL,
    bytes         integer,
    unit_price    numeric(10,2) NOT NULL
);

CREATE TABLE IF NOT EXISTS playlist_track (
    playlist_id integer NOT NULL REFERENCES playlist,
    track_id    integer NOT NULL REFERENCES track,
    PRIMARY KEY (playlist_id, track_id)
);

CREATE TABLE IF NOT EXISTS employee (
    employee_id integer PRIMARY KEY,
    last_name   varchar(20) NOT NULL,
    first_name  varchar(20) NOT NULL,
    title       varchar(30),
    reports_to  integer REFERENCES employee,
    birth_date  timestamp,
    hire_date   timestamp,
    address     varchar(70),
    city        varchar(40),
    state       varchar(40),
    country     varchar(40),
    postal_code varchar(10),
    phone       varchar(24),
    fax         varchar(24),
    email       varchar(60)
);

CREATE TABLE IF NOT EXISTS customer (
    customer_id    integer PRIMARY KEY,
    first_name     varchar(40) NOT NULL,
    last_name      varchar(20) NOT NULL,
    company        varchar(80),
    address        varchar(70),
    city           varchar(40),
    state          varchar(40),
    country        varchar(40),
    postal_code    varchar(10),
    phone          varchar(24),
    fax            varchar(24),
    email          varchar(60) NOT NULL,
    support_rep_id integer REFERENCES employee
);

CREATE TABLE IF NOT EXISTS invoice (
    invoice_id          integer PRIMARY KEY,
    customer_id         integer NOT NULL REFERENCES customer,
    invoice_date        timestamp NOT NULL,
    billing_address     varchar(70),
    billing_city        varchar(40),
    billing_state       varchar(40),
    billing_country     varchar(40),
    billing_postal_code varchar(10),
    total               numeric(10,2) NOT NULL
);

CREATE TABLE IF NOT EXISTS invoice_line (
    invoice_line_id integer PRIMARY KEY,
    invoice_id      integer NOT NULL REFERENCES invoice,
    track_id        integer NOT NULL REFERENCES track,
    unit_price      numeric(10,2) NOT NULL,
    quantity        integer NOT NULL
);

-- A foreign key is looked up from both sides.
CREATE INDEX IF NOT EXISTS album_artist_id ON album (artist_id);
CREATE INDEX IF NOT EXISTS track_album_id ON track (album_id);
CREATE INDEX IF NOT EXISTS track_media_type_id ON track (media_type_id);
CREATE INDEX IF NOT EXISTS track_genre_id ON track (genre_id);
CREATE INDEX IF NOT EXISTS playlist_track_track_id ON playlist_track (track_id);
CREATE INDEX IF NOT EXISTS employee_reports_to ON employee (reports_to);
CREATE INDEX IF NOT EXISTS customer_support_rep_id ON customer (support_rep_id);
CREATE INDEX IF NOT EXISTS invoice_customer_id ON invoice (customer_id);
CREATE INDEX IF NOT EXISTS invoice_line_invoice_id ON invoice_line (invoice_id);
CREATE INDEX IF NOT EXISTS invoice_line_track_id ON invoice_line (track_id);
