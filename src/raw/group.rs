//! A group: all words of a bucket, loaded and compared in one pass without a branch per slot.
//!
//! A bucket has eight *lanes*: lane 0 is the publication word, which a group ignores, the others
//! are the slots. What a group says of a slot was true at some moment during the load, each slot by
//! itself, as if a loop had loaded one after another. A mask has one bit for each lane.
//!
//! There are two implementations: `vector` on x86-64, `scalar` elsewhere and in models. A word that
//! a group matches is loaded once more before anything rests on it. What rests on a group alone is
//! that no word matched.

#[cfg(any(sessile_loom, sessile_shuttle, miri, test, not(target_arch = "x86_64")))]
mod scalar;
#[cfg(not(any(sessile_loom, sessile_shuttle, miri, not(target_arch = "x86_64"))))]
mod vector;

#[cfg(any(sessile_loom, sessile_shuttle, miri, not(target_arch = "x86_64")))]
use self::scalar as form;
#[cfg(not(any(sessile_loom, sessile_shuttle, miri, not(target_arch = "x86_64"))))]
use self::vector as form;

pub(super) use self::form::{Group, OldestSearch};

#[cfg(all(test, target_arch = "x86_64", not(any(sessile_loom, sessile_shuttle, miri))))]
mod both_forms {
    use super::super::lanes::{LANES, RANKED_MAX};
    use super::super::table::SLOTS;
    use super::super::table::Table;
    use super::super::word::Stamp;
    use super::super::word::{Nonce, Pattern, Tag, Word};
    use super::{scalar, vector};
    use crate::sync::Ordering;
    use proptest::prelude::*;
    use std::ptr::{NonNull, without_provenance_mut};

    #[repr(align(16))]
    struct Block;

    /// An address in sixteens, a kind of word, a tag, a stamp.
    type Drawn = (usize, u8, usize, u8);

    /// Tags with the first, the last and all of their bits.
    const TAGS: [u64; 3] = [1, 0x200, 0x3FF];

    const PUBLICATION_LANES: u32 = 1 | 1 << LANES;

    /// Fresh, with the bits of a tag, or any.
    fn publication() -> impl Strategy<Value = u64> {
        prop_oneof![Just(0), (0..TAGS.len()).prop_map(|tag| TAGS[tag] << 54), any::<u64>()]
    }

    fn drawn() -> impl Strategy<Value = Drawn> {
        // Addresses that use hardly any of their bits, and all of them.
        let address = prop_oneof![Just(1), Just((1 << 44) - 1), Just(1 << 43), 1..1usize << 44];
        (address, 0..10u8, 0..TAGS.len(), any::<u8>())
    }

    fn word((sixteens, kind, tag, stamp): Drawn) -> Word<Block> {
        let Some(block) = NonNull::new(without_provenance_mut(sixteens << 4)) else {
            return Word::EMPTY;
        };
        let member = Word::member(block, Tag::of_hash(TAGS[tag]), Stamp::of_tick(stamp.into()));
        match kind {
            0..=3 => member,
            4..=5 => Word::claim(block, Nonce::new(usize::from(stamp) << 2 | 1, stamp.into())),
            6 => Word::moved(block),
            7 => member.to_shadow(),
            _ => Word::EMPTY,
        }
    }

    fn table(words: &[Word<Block>]) -> Box<Table<Block>> {
        let table = Table::new(RANKED_MAX).unwrap();
        for (nth, &word) in words.iter().enumerate() {
            assert!(table.bucket(nth / SLOTS).exchange(nth % SLOTS, Word::EMPTY, word));
        }
        table
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(4000))]

        #[test]
        fn see_the_same(
            words in prop::collection::vec(drawn(), RANKED_MAX * SLOTS),
            tag in prop::sample::select(&TAGS),
            tick in any::<usize>(),
            publication in publication(),
            ranked in 0..=RANKED_MAX,
        ) {
            let words: Vec<_> = words.into_iter().map(word).collect();
            let table = table(&words);
            let buckets = || (0..RANKED_MAX).map(|bucket| table.bucket(bucket));
            for bucket in buckets() {
                bucket.publication.store(publication, Ordering::Relaxed);
            }
            let vectors: Vec<_> = buckets().map(vector::Group::load).collect();
            let scalars: Vec<_> = buckets().map(scalar::Group::load).collect();
            let (by_vector, by_scalar) = ([vectors[0], vectors[1]], [scalars[0], scalars[1]]);
            let empties = scalar::Group::match_empty(by_scalar);
            prop_assert_eq!(vector::Group::match_empty(by_vector), empties);
            let tag = Tag::of_hash(tag);
            for pattern in [Pattern::member(tag), Pattern::shadow(tag)] {
                let seen = vector::Group::match_pattern(by_vector, pattern);
                let matching = scalar::Group::match_pattern(by_scalar, pattern);
                prop_assert_eq!(seen & matching, matching, "none is overlooked");
                prop_assert_eq!(seen & PUBLICATION_LANES, 0, "a publication word is no slot");
                for lane in (0..2 * LANES).filter(|lane| (seen & !matching) >> lane & 1 == 1) {
                    let word = words[lane / LANES * SLOTS + lane % LANES - 1];
                    prop_assert!(!word.is_empty(), "an empty slot is no candidate");
                }
            }
            let mut vector = vector::OldestSearch::new(tick);
            let mut scalar = scalar::OldestSearch::new(tick);
            vectors.into_iter().take(ranked).for_each(|group| vector.see(group));
            scalars.into_iter().take(ranked).for_each(|group| scalar.see(group));
            prop_assert_eq!(vector.oldest(), scalar.oldest());
        }
    }
}
