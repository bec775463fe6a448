//! Read-through: asks the tier for keys, many at once.
#![forbid(unsafe_code)]

use std::sync::Arc;
use std::time::Instant;

use tokio::sync::mpsc;

use crate::desk::Desk;
use crate::link::{Ask, Fetched, Link};
use crate::payload::Payload;
use crate::place::{TierKey, Uses};
use crate::stats::Counter;

/// Works until the tier is dropped.
pub(crate) async fn run<T: Payload>(
    desk: Arc<Desk<T>>,
    link: Link,
    mut questions: mpsc::Receiver<TierKey>,
) {
    let mut keys = Vec::new();
    while questions.recv_many(&mut keys, desk.options.batch).await > 0 {
        let batch = std::mem::take(&mut keys);
        tokio::spawn(ask(Arc::clone(&desk), link.clone(), batch));
    }
}

async fn ask<T: Payload>(desk: Arc<Desk<T>>, mut link: Link, keys: Vec<TierKey>) {
    let name = |key: &TierKey| {
        let ask = match key.uses {
            Uses::Once => Ask::Remove,
            Uses::Many => Ask::Copy,
        };
        (ask, key.name(&desk.options.prefix))
    };
    let names: Vec<_> = keys.iter().map(name).collect();
    desk.counters.add(Counter::Asked, keys.len() as u64);
    let begun = Instant::now();
    let answers = link.fetch(&names).await;
    let lost = answers.iter().filter(|answer| matches!(answer, Fetched::Lost)).count();
    desk.counters.add(Counter::Unanswered, lost as u64);
    if lost < keys.len() {
        desk.latency.record(begun.elapsed());
    }
    for (key, answer) in keys.into_iter().zip(answers) {
        desk.answered(key, answer);
    }
}
