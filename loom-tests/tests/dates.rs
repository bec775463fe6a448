//! The dates of a session: the expiry is that of the last date and the last timeout, whoever set them.
//!
//! Guards: the exchange that writes an expiry, between the look at what it is computed from and the second look.

use loom_tests::{Model, id, thread};
use sessile::Session;
use std::time::Duration;

/// One thread dates a session while another changes its timeout.
#[test]
fn dates_two_setters() {
    Model::new("dates_two_setters").sees(&["src/session/block.rs"]).check(|| {
        let session =
            Session::<()>::builder(id(1)).created_at(100).timeout(Duration::from_secs(10)).build(());
        let other = session.clone();
        let dater = thread::spawn(move || other.set_created_at(200));
        session.set_timeout(Duration::from_secs(20));
        dater.join().unwrap();
        assert_eq!(session.expires_at(), Some(220));
    });
}
