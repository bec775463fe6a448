//! Read-through: asks the tier for keys, many in one pipeline.
#![forbid(unsafe_code)]

use std::sync::Arc;

use tokio::sync::mpsc;

use crate::desk::Desk;
use crate::link::{Ask, Link};
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
    let values = link.fetch(&names).await;
    let values = values.unwrap_or_else(|| {
        desk.counters.add(Counter::Unanswered, keys.len() as u64);
        vec![None; keys.len()]
    });
    for (key, value) in keys.into_iter().zip(values) {
        desk.answered(key, value);
    }
}
