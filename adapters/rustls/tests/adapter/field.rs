//! What went wrong in other software, and must not here: replays, chains without an end, sessions
//! that outlive a rule, hostile servers.

mod client_limits;
mod early_data;
mod max_age;
mod revocation;
mod tier;
mod who_may_enter;
