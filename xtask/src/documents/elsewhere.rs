//! Commands that a document shows and continuous integration does not run as they stand, each with
//! the reason.

const PART: &str = "`cargo xtask verify` runs this part";
const OF_A_PART: &str = "`cargo xtask verify` runs the whole part";
const FUZZER: &str =
    "`cargo xtask verify` runs every target, under the same options and for another time";
const STRICTER: &str = "continuous integration runs it with `--deny-skips`";
const FIGURES: &str =
    "minutes of measurements for a table: they judge nothing, and need a quiet machine";
const PLACEHOLDER: &str = "names a file that only the reader has";
const LONG: &str = "minutes; `cargo test --workspace` runs a shorter one";
const SERVICE: &str = "a test runs it with a server of its own";
const UNTIL_ENDED: &str =
    "a server that a reader talks to; a test of sessile-preload runs the same";
const WRITES: &str = "changes committed files";

/// The command and the reason.
pub(super) const ELSEWHERE: &[(&str, &str)] = &[
    ("cargo xtask documents --write", WRITES),
    (
        "RUSTFLAGS=\"--cfg sessile_shuttle\" cargo +nightly fuzz run --fuzz-dir fuzz/schedules --sanitizer none \
         --no-trace-compares schedules -- -max_total_time=60 -max_len=64",
        FUZZER,
    ),
    (
        "cargo +nightly fuzz run --sanitizer none --no-trace-compares operations -- -max_total_time=30 \
         -max_len=200",
        FUZZER,
    ),
    (
        "cargo +nightly fuzz run --sanitizer none --no-trace-compares redis_offers -- -max_total_time=30 \
         -max_len=2000",
        FUZZER,
    ),
    (
        "cargo +nightly fuzz run --sanitizer none --no-trace-compares redis_values -- -max_total_time=30 \
         -max_len=400",
        FUZZER,
    ),
    (
        "cargo +nightly fuzz run --sanitizer none --no-trace-compares rustls_bytes -- -max_total_time=30 \
         -max_len=200",
        FUZZER,
    ),
    (
        "cargo +nightly fuzz run --sanitizer none --no-trace-compares rustls_tickets -- -max_total_time=30 \
         -max_len=200",
        FUZZER,
    ),
    (
        "cargo +nightly fuzz run --sanitizer none --no-trace-compares operations new/ -- -merge=1 \
         -set_cover_merge=1 -use_counters=0 fuzz/corpus/operations",
        WRITES,
    ),
    ("cargo bench -p micro", FIGURES),
    ("cargo run -p recipes --example axum_reload", "a test of the recipes runs the same"),
    ("cargo fuzz", "a name, not a whole command"),
    ("cargo install cargo-fuzz", "`.ci/run` installs it where it is missing, without optimization"),
    ("cargo run --release -p sessile-redis --example snapshot", FIGURES),
    ("cargo run --release -p compare", FIGURES),
    ("cargo run --release -p compare -- --entries 4096 --trace P1.lis", PLACEHOLDER),
    ("cargo run --release -p compare -- --json rows.json --report charts", FIGURES),
    ("cargo run --release -p compare -- --quick", FIGURES),
    (
        "cargo run --release -p compare -- --quick --entries 20480 --threads 4,8 --workload \
         hit,replace,tls12,tls13,tail --report benches/results/oversubscribed",
        WRITES,
    ),
    (
        "cargo run --release -p compare -- --quick --entries 20480 --workload \
         hit,miss,hot,replace,readd,tls12,tls13,tail,fill --report benches/results/mimalloc",
        WRITES,
    ),
    (
        "cargo run --release -p compare -- --quick --workload miss --threads 1 --values session,arc",
        FIGURES,
    ),
    (
        "cargo run --release -p compare -- --workload \
         hit,miss,hot,replace,readd,tls12,tail,tls13,fill,remove,grow,flush,traces --report benches/results",
        WRITES,
    ),
    ("cargo run --release -p compare -- --workload cold --values arc", FIGURES),
    (
        "cargo run --release -p compare -- --quick --workload cold --values arc --report \
         benches/results/cold",
        WRITES,
    ),
    ("cargo run --release -p compare -- --workload hit,tls13 --peers scc,dashmap", FIGURES),
    ("cargo run --release -p compare --features mimalloc", FIGURES),
    ("cargo run --release -p compare --features openssl", FIGURES),
    ("cargo run --release -p handshakes -- --nodes 3 --tier redis://127.0.0.1:6379", SERVICE),
    (
        "cargo run --release -p handshakes -- --nodes 3 --tier start --json \
         benches/results/fleet.json --report docs/fleet.svg",
        WRITES,
    ),
    (
        "cargo run --release -p handshakes --features openssl -- --backend openssl --seconds 2 \
         --capacity 1024 --empty",
        FIGURES,
    ),
    ("cargo run --release -p trials -- faults", PART),
    ("cargo test -p sessile-redis --test offers -- --ignored", LONG),
    ("cargo test -p sessile-redis --test snapshots -- --ignored", LONG),
    ("cargo test --test it garbage", "`cargo test --workspace` runs every topic"),
    (
        "cargo test --workspace --exclude sessile-openssl --exclude sessile-redis --exclude sessile-capi \
         --exclude sessile-preload",
        "`cargo test --workspace` runs the same tests and more",
    ),
    (
        "openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=localhost -keyout target/key.pem -out \
         target/cert.pem",
        "each test makes a certificate for itself",
    ),
    ("target/capi/server target/cert.pem target/key.pem 8443 8 100000", UNTIL_ENDED),
    (
        "SESSILE_ATTACH=1 SESSILE_STATS=1 \
         LD_PRELOAD=$PWD/target/capi/lib/libsessile_preload.so openssl s_server -accept 8443 -cert \
         target/cert.pem -key target/key.pem -www -naccept 6",
        UNTIL_ENDED,
    ),
    ("cargo xtask capi", "installs for the whole machine; continuous integration names a folder"),
    ("cargo xtask load", FIGURES),
    ("cargo xtask load --write", WRITES),
    ("cargo xtask ci", "is continuous integration"),
    ("cargo xtask counts", STRICTER),
    ("cargo xtask counts --accept", WRITES),
    ("cargo xtask histories", PART),
    ("cargo xtask memcheck", PART),
    ("cargo xtask miri", PART),
    ("cargo xtask mutants shadow", OF_A_PART),
    ("cargo xtask orderings", PART),
    ("cargo xtask orderings FILE", PLACEHOLDER),
    ("cargo xtask orderings src/raw/publish.rs", OF_A_PART),
    ("cargo xtask tsan", PART),
    ("cargo xtask verify", STRICTER),
    ("cargo xtask verify --only models,tsan", OF_A_PART),
    ("cd fuzz/schedules && cargo run --release -- replay FILE", PLACEHOLDER),
    ("cd fuzz/schedules && cargo run --release -- trials", PART),
];
