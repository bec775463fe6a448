//! The cache alone: sessions with a payload of one's own, limited in number and in bytes.
//!
//! `cargo run -p payload`

use std::error::Error;
use std::time::Duration;

use sessile::{
    Added, Context, Protocol, RemovalCause, Session, SessionBuilder, SessionCache, SessionId,
};

/// What a server remembers of a client beside the keys of its session.
struct Login {
    user: &'static str,
    state: Vec<u8>,
}

fn build() -> Result<SessionCache<Login>, sessile::BuildError> {
    SessionCache::builder()
        .capacity(10_000)
        .weigher(|login: &Session<Login>| login.state.len())
        .max_weight(16 << 20) // bytes, of all states together
        .timeout(Duration::from_secs(3600))
        .on_removed(|login: &Session<Login>, cause| {
            if cause != RemovalCause::Replaced {
                println!("{} left: {cause:?}", login.user);
            }
        })
        .build()
}

fn main() -> Result<(), Box<dyn Error>> {
    let cache = build()?;
    // Sessions of one context do not exist in another. It is a part of the key.
    let mutual = Context::digest(["www.example.org", "client certificates"]);
    let view = cache.view(mutual).protocol(Protocol::TLS1_3);
    let id = |n: u8| SessionId::from([n; 32]);
    let login = |n: u8, user: &'static str| {
        let builder = SessionBuilder::new(id(n)).context(mutual).protocol(Protocol::TLS1_3);
        builder.build(Login { user, state: vec![n; 200] })
    };

    assert!(matches!(view.add(login(1, "ada"))?, Added::Inserted));
    view.add(login(2, "grace"))?;
    view.add(login(3, "grace"))?;
    assert!(matches!(view.add(login(1, "ada"))?, Added::Replaced(_)));

    // `read` borrows, `get` gives a handle to keep, `take` is for what may be used once.
    println!("read: {:?}", view.read(&id(1), |login| login.user));
    println!("take: {:?}", view.take(&id(1)).map(|login| login.user));
    println!("take again: {:?}", view.take(&id(1)).map(|login| login.user));
    println!("in no context: {:?}", cache.get(&id(2)).map(|login| login.user));

    let removed = cache.remove_if(|login| login.user == "grace");
    println!("grace logged out of {removed} sessions");
    let status = cache.status();
    println!("{} sessions, {:?} bytes of {:?}", cache.len(), status.weight, status.weight_limit);
    println!("{} hits, {} misses", status.stats.hits, status.stats.misses);
    Ok(())
}
