"""Measures contenders against one another, on one machine, in one run.

    data       the files that are loaded, and the facts about them
    tools      the contenders' programs: found, built or installed
    servers    throw-away PostgreSQL and MariaDB
    measure    one command: wall time, CPU of client and server, peak memory
    contest    contenders that take turns; medians and ratios
    targets    what kiln wants to reach, beside what was measured
    report     the tables of RESULTS.md
    picture    results.svg
"""
