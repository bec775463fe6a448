//! A client's ring of tickets: each comes out once, and its content with it.
//!
//! Guards: the exchanges of the ring's word, by which a cell and what is in it change hands, its
//! bit that closes the ring, and the sum of bytes.

use loom_tests::{id, model, quiet, spawn_with};
use sessile::{Added, Context, Session, SessionCache, TicketRing};
use std::cell::RefCell;
use std::sync::Arc;

/// Two threads put and take in turns; a third of the tickets is there from the beginning.
#[model]
fn tickets_change_hands() {
    let ring = Arc::new(TicketRing::new(100));
    ring.put(Box::new(1), 1).unwrap();
    let other = spawn_with(&ring, |ring| {
        ring.put(Box::new(2), 1).unwrap();
        ring.take().map_or(0, |ticket| *ticket)
    });
    let mut taken = vec![ring.take().map_or(0, |ticket| *ticket)];
    ring.put(Box::new(3), 1).unwrap();
    taken.push(other.join().unwrap());
    taken.extend(std::iter::from_fn(|| ring.take()).map(|ticket| *ticket));
    taken.retain(|&ticket| ticket != 0);
    taken.sort_unstable();
    assert_eq!(taken, [1, 2, 3], "all of them, none twice");
}

/// Two threads put into a full ring: two tickets leave, and what is in the ring can be taken.
#[model]
fn tickets_replace_tickets() {
    let ring = Arc::new(TicketRing::new(100));
    (0..TicketRing::<u32>::CAPACITY as u32).for_each(|ticket| ring.put(ticket, 1).unwrap());
    let other = spawn_with(&ring, |ring| ring.put(20, 1).unwrap());
    ring.put(21, 1).unwrap();
    other.join().unwrap();
    let mut rest: Vec<_> = std::iter::from_fn(|| ring.take()).collect();
    rest.sort_unstable();
    assert_eq!(rest, [2, 3, 4, 5, 6, 7, 20, 21]);
}

type Entry = Session<TicketRing<u32>>;

/// Puts a ticket into the entry of a server as an adapter does. False if the server was forgotten
/// meanwhile.
fn put(cache: &SessionCache<TicketRing<u32>>, ticket: u32) -> bool {
    let watch = cache.view(Context::NONE).watch(&id(1));
    let last: RefCell<Option<Entry>> = RefCell::default();
    let entry = || {
        let (entry, replaced) = match cache.get(&id(1)) {
            Some(found) => (found, None),
            None => {
                let made = Session::new(id(1), TicketRing::new(100));
                match cache.add_unless_removed(made.clone(), watch).ok()? {
                    Added::Replaced(older) => (made, Some(older)),
                    _ => (made, None),
                }
            }
        };
        let last = last.replace(Some(entry.clone()));
        assert!(
            last.is_none_or(|last| !Session::ptr_eq(&last, &entry)),
            "a closed ring is no longer the entry's"
        );
        Some((entry, replaced))
    };
    TicketRing::put_into_entry(vec![(ticket, 1)], entry, |entry| Some(&**entry)).is_some()
}

fn client() -> Arc<SessionCache<TicketRing<u32>>> {
    Arc::new(quiet().capacity(4).watch_removals(true).build().expect("a valid capacity"))
}

fn tickets_of(cache: &SessionCache<TicketRing<u32>>) -> Vec<u32> {
    let mut tickets = Vec::new();
    cache.read(&id(1), |ring| tickets.extend(std::iter::from_fn(|| ring.take())));
    tickets.sort_unstable();
    tickets
}

/// Threads that meet one server at the same moment lose none of its tickets.
fn meet_one_server(threads: u32) {
    let cache = client();
    let others: Vec<_> =
        (1..threads).map(|ticket| spawn_with(&cache, move |cache| put(&cache, ticket))).collect();
    assert!(put(&cache, 0));
    assert!(others.into_iter().all(|other| other.join().unwrap()));
    assert_eq!(tickets_of(&cache), (0..threads).collect::<Vec<_>>());
}

#[model(preemptions(2), at_night(3))]
fn tickets_follow_their_entry() {
    meet_one_server(2);
}

#[model(preemptions(1), at_night(2))]
fn tickets_of_three_follow_their_entry() {
    meet_one_server(3);
}

/// A put beside a close: the ticket is given back, or closed out, not lost.
#[model]
fn ticket_beside_a_close() {
    let ring = Arc::new(TicketRing::new(100));
    ring.put(1, 1).unwrap();
    let other = spawn_with(&ring, |ring| ring.put(2, 1));
    let mut moved = ring.close();
    if other.join().unwrap().is_err() {
        moved.push((2, 1));
    }
    moved.sort_unstable();
    assert_eq!(moved, [(1, 1), (2, 1)]);
    assert!(ring.is_empty());
}

/// Whoever finds a ring closed sees what was done before that: another ring is in its place.
#[model]
fn closed_ring_has_a_successor() {
    let rings = Arc::new([100, 100].map(TicketRing::new));
    let other = spawn_with(&rings, |rings| {
        let [older, newer] = &*rings;
        newer.put(1, 1).unwrap();
        older.close();
    });
    let [older, newer] = &*rings;
    if older.put(2, 1).is_err() {
        assert_eq!(newer.len(), 1);
    }
    other.join().unwrap();
}

/// A put beside a take: the ticket is in, although the other one's bytes are still counted.
#[model]
fn ticket_put_beside_a_take_is_in() {
    let ring = Arc::new(TicketRing::new(100));
    ring.put(1, 50).unwrap();
    let other = spawn_with(&ring, |ring| ring.take());
    assert!(ring.put(2, 60).is_ok(), "nobody else puts");
    let taken = other.join().unwrap();
    assert!([taken, ring.take()].contains(&Some(2)), "the newest stays");
}

/// Two puts beside each other, of which one has room: neither is refused, one stays.
#[model]
fn one_of_two_tickets_stays() {
    let ring = Arc::new(TicketRing::new(100));
    ring.put(1, 50).unwrap();
    let other = spawn_with(&ring, |ring| ring.put(2, 60).is_ok());
    assert!(ring.put(3, 60).is_ok() && other.join().unwrap());
    let rest: Vec<_> = std::iter::from_fn(|| ring.take()).collect();
    assert!(rest == [2] || rest == [3], "{rest:?}");
}

/// When all puts and takes are through, the rest fits, and what left was given back.
#[model(preemptions(2), at_night(3))]
fn bytes_of_tickets_are_bounded_at_rest() {
    let ring = Arc::new(TicketRing::new(100));
    ring.put(1, 50).unwrap();
    let other = spawn_with(&ring, |ring| {
        ring.put(2, 60).unwrap();
        ring.take()
    });
    ring.put(3, 50).unwrap();
    other.join().unwrap();
    let rest: Vec<_> = std::iter::from_fn(|| ring.take()).collect();
    let bytes: u32 = rest.iter().map(|ticket| if *ticket == 2 { 60 } else { 50 }).sum();
    assert!(bytes <= 100, "{rest:?}");
    (4..6).for_each(|ticket| ring.put(ticket, 50).unwrap());
    assert_eq!(ring.len(), 2, "all bytes were given back");
}

/// A ticket is taken before its put is through: its bytes are given back after they were counted.
#[model]
fn bytes_are_counted_before_a_ticket_can_be_taken() {
    let ring = Arc::new(TicketRing::new(100));
    let other = spawn_with(&ring, |ring| ring.put(1, 50).unwrap());
    let taken = ring.take();
    (2..4).for_each(|ticket| ring.put(ticket, 20).unwrap());
    other.join().unwrap();
    assert_eq!(ring.len() + usize::from(taken.is_some()), 3, "there is room for all of them");
}
