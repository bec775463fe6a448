//! The adapter in real handshakes, one file per behaviour.

mod capacity;
mod certificate_reload;
mod client_offers;
mod client_servers;
mod client_tickets;
mod context_isolation;
mod field;
mod peer_keys;
mod resumptions;
mod secrets;
mod support;
mod tls12_session_id;
mod tls13_reusable;
mod tls13_single_use;
