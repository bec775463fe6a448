//! A second tier as programs write it: it keeps what it is told and hands it back, for ever.

use std::collections::HashMap;
use std::sync::{Arc, Mutex};

use sessile::{Clock, Context, Hooks, Secret, Session, SessionCache, SessionId};

/// What the tier hands back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Answer {
    /// The session that it was told of.
    Handle,
    /// A new session with the same bytes, and nothing else of it.
    Bytes,
}

/// A cache of 100 sessions with such a tier.
pub(crate) fn cache_with_tier(answer: Answer, clock: impl Clock) -> Arc<SessionCache<Secret>> {
    let told = Arc::new(Mutex::new(HashMap::<(SessionId, Context), Session<Secret>>::new()));
    let answers = Arc::clone(&told);
    let hooks = Hooks::new()
        .on_added(move |session: &Session<Secret>| {
            told.lock().unwrap().insert((session.id(), session.context()), session.clone());
        })
        .on_miss(move |id, context| {
            let session = answers.lock().unwrap().get(&(*id, *context)).cloned()?;
            Some(match answer {
                Answer::Handle => session,
                Answer::Bytes => rebuilt(&session),
            })
        });
    Arc::new(SessionCache::builder().capacity(100).clock(clock).hooks(hooks).build().unwrap())
}

fn rebuilt(session: &Session<Secret>) -> Session<Secret> {
    let builder = Session::<Secret>::builder(session.id()).context(session.context());
    builder.build(Secret::from(session.to_vec()))
}
