# What one does every day. `just` alone lists it.

[private]
default:
    @just --list

# All tests, with the servers they need; arguments go to cargo test
test *args:
    ./test {{ args }}

# The long form of the fault tests, with one line of totals a database; or of one: just faults long_form_on_sqlite
faults name='long_form':
    KILN_TEST_SECONDS=14400 ./test --test faults -- --ignored --nocapture --test-threads=1 {{ name }}

# The kiln command: just run run examples/invoices/job.toml
run *args:
    cargo run -q -p kiln-cli -- {{ args }}

# Does it compile, tests included?
check:
    cargo check --workspace --all-targets

# Format everything
fmt:
    cargo fmt --all

# Lints, as strict as in CI
lint:
    cargo clippy --workspace --all-targets --all-features -- -D warnings

# The documentation, its links checked
doc *args:
    RUSTDOCFLAGS='-D warnings' cargo doc --workspace --no-deps --all-features {{ args }}

# Advisories, licences and sources of all dependencies (cargo install cargo-deny --locked)
deny:
    cargo deny check

# Looks for input that makes kiln panic or read one file in two ways: just fuzz 600 csv
fuzz *args:
    fuzz/run {{ args }}

# kiln beside others that do the same work (bench/README.md): just bench --quick
bench *args:
    bench/run {{ args }}

# All that CI looks at
ci:
    bash .ci/run
