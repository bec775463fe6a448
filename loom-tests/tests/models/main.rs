//! The models, a file a subject. The name of a test is that of its model, and is its own in all
//! files: comments and reports name a model without its file.

mod add;
mod count;
mod dates;
mod evict;
mod glance;
mod hooks;
mod migrate;
mod migrate_sets;
mod parts;
mod publish;
mod reclaim;
mod removals;
mod searches;
mod slab;
mod take;
mod tickets;
mod walk;
