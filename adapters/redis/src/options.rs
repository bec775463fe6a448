//! What the program has chosen.
#![forbid(unsafe_code)]

use std::time::Duration;

use sessile::{Protocol, Session};

use crate::place::Uses;

type UsesOf<T> = dyn Fn(&Session<T>) -> Uses + Send + Sync;

/// See the methods of `TierBuilder`, which set these.
pub(crate) struct Options<T> {
    pub(crate) prefix: Vec<u8>,
    pub(crate) uses: Box<UsesOf<T>>,
    pub(crate) is_strict: bool,
    pub(crate) is_published: bool,
    pub(crate) wait: Option<Duration>,
    pub(crate) tolerance: Duration,
    /// The most changes that wait to be written.
    pub(crate) queue: usize,
    /// The most keys that wait to be asked.
    pub(crate) questions: usize,
    /// The most commands of one pipeline.
    pub(crate) batch: usize,
    /// The most fetched sessions that wait for their handshake, and for how long they do.
    pub(crate) arrivals: usize,
    pub(crate) arrival_span: Duration,
    /// The most keys that are known not to be in the tier, and for how long they are.
    pub(crate) missing: usize,
    pub(crate) missing_span: Duration,
    /// How many sessions for one use are remembered as spent.
    pub(crate) spent: usize,
    /// How long an answer is waited for until the server counts as down.
    pub(crate) response: Duration,
    /// The pauses between attempts to reach a server that is down.
    pub(crate) backoff: (Duration, Duration),
}

impl<T> Default for Options<T> {
    fn default() -> Self {
        Self {
            prefix: b"sessile:".to_vec(),
            uses: Box::new(|session| match session.protocol() {
                Protocol::TLS1_2 => Uses::Many,
                _ => Uses::Once,
            }),
            is_strict: false,
            is_published: false,
            wait: None,
            tolerance: Duration::from_secs(2),
            queue: 1 << 16,
            questions: 1 << 12,
            batch: 128,
            arrivals: 1 << 14,
            arrival_span: Duration::from_secs(10),
            missing: 1 << 14,
            missing_span: Duration::from_secs(1),
            spent: 1 << 20,
            response: Duration::from_millis(500),
            backoff: (Duration::from_millis(20), Duration::from_secs(2)),
        }
    }
}
