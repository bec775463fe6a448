//! libssl's own cache as the oracle of the C interface: the sequences that sessile-openssl is
//! tested by, played through `sessile.h`'s functions.

// The functions are in the library's rlib too.
use sessile_capi as _;

/// Sequences that are played; sessile-openssl plays more of them, to the same code.
const SEQUENCES: u64 = 2_000;

#[path = "../../../openssl/tests/adapter/support.rs"]
#[allow(dead_code, reason = "shared with tests that use all of it")]
mod support;

#[path = "../../../openssl/tests/adapter/oracle/libssl.rs"]
#[allow(dead_code, reason = "shared with tests that use all of it")]
mod libssl;
#[path = "../../../openssl/tests/adapter/oracle/object.rs"]
#[allow(dead_code, reason = "shared with tests that use all of it")]
mod object;
#[path = "../../../openssl/tests/adapter/oracle/sequence.rs"]
mod sequence;
#[path = "../../../openssl/tests/adapter/oracle/subject.rs"]
mod subject;

mod header;
mod ours;
