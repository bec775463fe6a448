//! What a snapshot costs: seconds and bytes for a million sessions, written to a file and read
//! back.
//!
//! `cargo run --release -p sessile-redis --example snapshot -- 1000000`

use std::error::Error;
use std::time::{Duration, Instant};

use sessile::{Capacity, Secret, Session, SessionCache, SessionId};
use sessile_redis::{KeyRing, SealingKey, restore_from_file, snapshot_to_file};

/// About the size of a TLS 1.3 session of rustls without client certificates, in bytes.
const PAYLOAD: usize = 100;

fn main() -> Result<(), Box<dyn Error>> {
    let sessions: u64 = std::env::args().nth(1).as_deref().unwrap_or("1000000").parse()?;
    let ring = KeyRing::new(SealingKey::generate()?);
    let cache = cache()?;
    for number in 0..sessions {
        let id = SessionId::new(&[&number.to_be_bytes()[..], &[0; 24]].concat())?;
        cache.add(Session::new(id, Secret::from(vec![7; PAYLOAD])))?;
    }
    let folder = tempfile::tempdir()?;
    let path = folder.path().join("sessions");
    let begun = Instant::now();
    let written = snapshot_to_file(&cache, &ring, &path)?;
    report("written", written, begun.elapsed());
    println!("{:.1} bytes a session", path.metadata()?.len() as f64 / written as f64);

    let after = self::cache()?;
    let begun = Instant::now();
    let restored = restore_from_file(&after, &ring, &path)?;
    report("restored", restored.restored, begun.elapsed());
    Ok(())
}

fn cache() -> Result<SessionCache<Secret>, sessile::BuildError> {
    SessionCache::builder().capacity(Capacity::Unbounded).timeout(Duration::from_secs(7200)).build()
}

fn report(what: &str, sessions: u64, time: Duration) {
    println!("{sessions} sessions {what} in {:.2} s", time.as_secs_f64());
}
