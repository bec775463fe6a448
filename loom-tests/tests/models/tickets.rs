//! A client's ring of tickets: each comes out once, and its content with it.
//!
//! Guards: the exchanges of the ring's word, by which a cell and what is in it change hands.

use loom_tests::{Model, spawn_with};
use sessile::TicketRing;
use std::sync::Arc;

/// Two threads put and take in turns; a third of the tickets is there from the beginning.
#[test]
fn tickets_change_hands() {
    Model::new("tickets_change_hands").check(|| {
        let ring = Arc::new(TicketRing::new(100));
        assert!(ring.put(Box::new(1), 1));
        let other = spawn_with(&ring, |ring| {
            assert!(ring.put(Box::new(2), 1));
            ring.take().map_or(0, |ticket| *ticket)
        });
        let mut taken = vec![ring.take().map_or(0, |ticket| *ticket)];
        assert!(ring.put(Box::new(3), 1));
        taken.push(other.join().unwrap());
        taken.extend(std::iter::from_fn(|| ring.take()).map(|ticket| *ticket));
        taken.retain(|&ticket| ticket != 0);
        taken.sort_unstable();
        assert_eq!(taken, [1, 2, 3], "all of them, none twice");
    });
}

/// Two threads put into a full ring: two tickets leave, and what is in the ring can be taken.
#[test]
fn tickets_replace_tickets() {
    Model::new("tickets_replace_tickets").check(|| {
        let ring = Arc::new(TicketRing::new(100));
        (0..TicketRing::<u32>::CAPACITY as u32).for_each(|ticket| assert!(ring.put(ticket, 1)));
        let other = spawn_with(&ring, |ring| ring.put(20, 1));
        assert!(ring.put(21, 1) && other.join().unwrap());
        let mut rest: Vec<_> = std::iter::from_fn(|| ring.take()).collect();
        rest.sort_unstable();
        assert_eq!(rest, [2, 3, 4, 5, 6, 7, 20, 21]);
    });
}
