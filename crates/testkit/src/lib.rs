//! Conformance suites, throw-away databases and crashes; a dev-dependency only
