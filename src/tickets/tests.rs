//! What a ring holds, gives back and drops, and where tickets go that cannot be put in.
#![forbid(unsafe_code)]

use super::*;
use std::sync::Barrier;
use std::thread;

fn drain(ring: &TicketRing<u32>) -> Vec<u32> {
    std::iter::from_fn(|| ring.take()).collect()
}

#[test]
fn newest_comes_out_first_and_oldest_is_replaced() {
    let ring = TicketRing::new(1000);
    for round in 0..3 {
        (0..20).for_each(|ticket| ring.put(round * 100 + ticket, 1).unwrap());
        assert_eq!((ring.len(), ring.take()), (8, Some(round * 100 + 19)));
        ring.put(7, 1).unwrap();
        let expected = [7, 18, 17, 16, 15, 14, 13, 12]
            .map(|ticket| if ticket == 7 { 7 } else { round * 100 + ticket });
        assert_eq!(drain(&ring), expected);
        assert!(ring.is_empty());
    }
}

#[test]
fn bytes_are_bounded_and_given_back() {
    let ring = TicketRing::new(100);
    assert_eq!(ring.put(0, 101), Err(PutError::Full(0)));
    assert_eq!(ring.put(0, usize::MAX), Err(PutError::Full(0)));
    (1..4).for_each(|ticket| ring.put(ticket, 40).unwrap());
    assert_eq!(ring.len(), 2);
    ring.put(4, 100).unwrap();
    assert_eq!(drain(&ring), [4]);
    (0..1000).for_each(|ticket| ring.put(ticket, 50).unwrap());
    ring.take().unwrap();
    ring.put(5, 50).unwrap();
    assert_eq!(drain(&ring), [5, 998]);
    ring.put(9, 100).unwrap();
}

#[test]
fn a_closed_ring_gives_everything_back() {
    let ring = TicketRing::new(100);
    (1..4).for_each(|ticket| ring.put(ticket, 30).unwrap());
    assert_eq!(ring.close(), [(3, 30), (2, 30), (1, 30)]);
    // Closed is what it says even where there is no room.
    assert_eq!([1, 100].map(|bytes| ring.put(4, bytes)), [Err(PutError::Closed(4)); 2]);
    assert_eq!(ring.put(4, 101), Err(PutError::Full(4)), "no ring of this size has room");
    assert!(ring.is_empty() && ring.close().is_empty());
}

#[test]
fn tickets_keep_their_order_when_they_move() {
    let [older, newer] = [100, 100].map(TicketRing::new);
    (1..4).for_each(|ticket| older.put(ticket, 10).unwrap());
    newer.put(0, 10).unwrap();
    let entry = || Some((&newer, Some(&older)));
    let put = |tickets| TicketRing::put_into_entry(tickets, entry, |ring| Some(ring)).is_some();
    assert!(put(vec![(4, 10)]) && put(vec![]));
    assert_eq!(drain(&newer), [4, 3, 2, 1, 0]);
    let none = || None::<(&TicketRing<u32>, _)>;
    assert!(TicketRing::put_into_entry(vec![(5, 10)], none, |ring| Some(ring)).is_none());
}

#[test]
fn races_lose_no_ticket_while_there_is_room() {
    const THREADS: u32 = 4;
    const ROUNDS: u32 = 2_000;
    // Each thread has at most two tickets in, so eight cells are enough.
    let ring = TicketRing::new(u32::MAX);
    let start = Barrier::new(THREADS as usize);
    let work = |thread: u32| {
        start.wait();
        let mut taken = Vec::new();
        for round in 0..ROUNDS {
            let number = (thread * ROUNDS + round) * 2;
            ring.put(number, 1).unwrap();
            taken.extend(ring.take());
            ring.put(number + 1, 1).unwrap();
            taken.extend(ring.take());
        }
        taken
    };
    let mut taken: Vec<u32> = thread::scope(|scope| {
        let threads: Vec<_> =
            (0..THREADS).map(|thread| scope.spawn(move || work(thread))).collect();
        threads.into_iter().flat_map(|thread| thread.join().unwrap()).collect()
    });
    taken.extend(drain(&ring));
    taken.sort_unstable();
    assert_eq!(taken, (0..THREADS * ROUNDS * 2).collect::<Vec<_>>(), "all of them, none twice");
}

#[test]
fn a_panic_of_a_ticket_that_leaves_costs_no_room() {
    struct Loud(bool);

    impl Drop for Loud {
        fn drop(&mut self) {
            assert!(!self.0, "loud");
        }
    }

    let ring = TicketRing::new(100);
    ring.put(Loud(true), 100).unwrap();
    let put = std::panic::AssertUnwindSafe(|| ring.put(Loud(false), 60));
    assert!(std::panic::catch_unwind(put).is_err());
    assert_eq!(ring.len(), 1, "the newest stays");
    assert!(ring.put(Loud(false), 40).is_ok());
    assert_eq!(ring.len(), 2, "of 60 and 40 bytes in a ring of 100");
}

/// A caller's mistake: a ring was closed whose entry stays in use.
#[test]
fn a_closed_ring_that_stays_the_entrys_ends_the_search() {
    let ring = TicketRing::new(100);
    ring.close();
    let searches = std::cell::Cell::new(0);
    let entry = || {
        searches.set(searches.get() + 1);
        assert!(searches.get() < 100, "endless");
        Some((&ring, None))
    };
    let put = TicketRing::put_into_entry(vec![(1, 10)], entry, |ring| Some(ring));
    assert!(put.is_none());
    assert_eq!(searches.get(), 2, "another entry may be in its place by the second");
}

#[test]
fn the_newest_stays_beside_other_threads() {
    const ROUNDS: u32 = 5_000;
    let ring = TicketRing::new(100);
    for round in 0..ROUNDS {
        let start = Barrier::new(3);
        let put = |ticket| {
            start.wait();
            ring.put(ticket, 60).is_ok()
        };
        let (puts, taken) = thread::scope(|scope| {
            let puts = [1, 2].map(|ticket| scope.spawn(move || put(ticket)));
            start.wait();
            let taken = ring.take();
            (puts.map(|put| put.join().unwrap()), taken)
        });
        assert_eq!(puts, [true; 2], "round {round}");
        let rest = drain(&ring);
        assert!(rest.len() <= 1, "60 bytes each: {rest:?}");
        assert!(!rest.is_empty() || taken.is_some(), "round {round}");
    }
    (0..2).for_each(|ticket| ring.put(ticket, 50).unwrap());
    assert_eq!(ring.len(), 2, "all bytes were given back");
}
