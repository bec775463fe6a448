//! The state machine and the races. `cargo xtask stress` runs them optimized, at full length: apart
//! from `it`, so that no more than they is built for it.

mod model;
mod threads;
