//! What only an allocator can show: memory that is refused, and secrets in memory that is given
//! back.

mod allocation;
mod payload_secrets;

#[global_allocator]
static ALLOCATOR: testkit::allocator::Probe = testkit::allocator::Probe;
