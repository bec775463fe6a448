//! Who leaves when there is no room: predicted in one set, checked above.

use super::Model;
use sessile::{Policy, RemovalCause};

impl Model {
    /// The victim of the policy among what is stored, none of which is expired.
    fn victim(&self) -> usize {
        let untouched = self.stored.iter().filter(|entry| !entry.touched).count();
        match self.rules.policy {
            Policy::SoonestExpiry => {
                let expires = |place: &usize| self.objects[self.stored[*place].object].expires();
                (0..self.len()).min_by_key(expires).unwrap()
            }
            _ if self.rules.protect && untouched > 4 => {
                self.stored.iter().position(|entry| !entry.touched).unwrap()
            }
            _ => 0,
        }
    }

    pub(super) fn make_room(&mut self) {
        if !self.rules.exact {
            return self.accept_departures();
        }
        if self.len() < self.capacity {
            return;
        }
        let any_expired = self.stored.iter().any(|entry| self.is_expired(entry.object));
        let place = if any_expired {
            let told = self.told.front().expect("somebody makes room").0;
            assert!(self.is_expired(told), "expired sessions go first");
            self.place_of(told).expect("who leaves was there")
        } else {
            self.victim()
        };
        let cause = if any_expired { RemovalCause::Expired } else { RemovalCause::Evicted };
        self.leaves(place, cause);
    }

    /// Takes the hook's word for who was evicted, as long as it makes sense.
    fn accept_departures(&mut self) {
        while let Some(&(gone, cause)) = self.told.front() {
            let place = self.place_of(gone).expect("who leaves was there");
            let expected =
                if self.is_expired(gone) { RemovalCause::Expired } else { RemovalCause::Evicted };
            assert_eq!(cause, expected);
            if cause == RemovalCause::Evicted && self.len() < self.capacity {
                self.early_evictions += 1;
            }
            self.leaves(place, cause);
        }
        assert!(self.len() < self.capacity, "room was made");
    }

    pub(crate) fn set_capacity(&mut self, capacity: usize) {
        self.capacity = capacity;
        if !self.rules.exact {
            return self.accept_shrinking();
        }
        while self.len() > capacity {
            let place = self.first_to_shrink();
            let cause = self.told.front().expect("the excess goes").1;
            let is_expired = self.is_expired(self.stored[place].object);
            assert!(
                cause == RemovalCause::Evicted || (is_expired && cause == RemovalCause::Expired)
            );
            self.leaves(place, cause);
        }
    }

    /// Shrinking takes expired ones first, then the order of the policy; it protects nobody.
    fn first_to_shrink(&self) -> usize {
        let rank = |place: &usize| {
            let number = self.stored[*place].object;
            let by_expiry = self.rules.policy == Policy::SoonestExpiry;
            let expires = if by_expiry { self.objects[number].expires() } else { 0 };
            (!self.is_expired(number), expires, *place)
        };
        (0..self.len()).min_by_key(rank).unwrap()
    }

    fn accept_shrinking(&mut self) {
        while let Some(&(gone, cause)) = self.told.front() {
            assert!(matches!(cause, RemovalCause::Evicted | RemovalCause::Expired));
            if self.len() <= self.capacity {
                self.early_evictions += 1;
            }
            let place = self.place_of(gone).expect("who leaves was there");
            self.leaves(place, cause);
        }
        assert!(self.len() <= self.capacity, "the excess is gone");
    }
}
