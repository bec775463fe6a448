//! The cache's behaviour as its users see it, a topic a module: `cargo test --test it garbage` runs
//! one.
//!
//! Beside it is what is also run optimized (`stress`), what takes times (`former_threads`), and what
//! needs an allocator or a process of its own (`allocator`, `memory`, `remains`).

mod add;
mod api;
mod capacity;
mod clocks;
mod collection;
mod contexts;
mod drops;
mod eviction_fifo;
mod eviction_lru;
mod eviction_soonest_expiry;
mod eviction_weight;
mod expired_first;
mod expiry;
mod garbage;
mod garbage_weight;
mod glance;
mod hooks;
mod ids;
mod iteration;
mod late_sessions;
mod modes;
mod one_id;
mod panics;
mod remove;
mod replace;
mod resize;
mod shapes;
mod stats;
mod status;
mod take;
mod tiers;
mod unbounded;
mod walls;
mod weights;
mod young_victims;
