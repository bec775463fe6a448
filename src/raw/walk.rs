//! Walking over all members, bucket by bucket, under one guard after another.

use super::slot::{Occupied, SlotRef};
use super::table::Table;
use super::word::State;

/// Where a walk stands. Begins with the oldest table.
#[derive(Clone, Copy, Default)]
pub(crate) struct Cursor {
    /// The number of a table; 0 before the first.
    table: u64,
    bucket: usize,
}

impl<B> Table<B> {
    /// Where a walk begins.
    pub(crate) fn walk_start() -> Option<Cursor> {
        Some(Cursor::default())
    }

    /// Shows the members of the next buckets of this table or those behind it to `visit`, and
    /// returns where to go on under another guard; `None` at the end. A member that is stored
    /// during the whole walk is shown at least once. `hash` gives the hash of a block.
    pub(crate) fn walk<'g>(
        &'g self,
        from: Cursor,
        buckets: usize,
        hash: impl Fn(&B) -> u64,
        mut visit: impl FnMut(Occupied<'g, B>),
    ) -> Option<Cursor> {
        // A table that was emptied meanwhile is gone: what it held is in its successors, which come
        // next.
        let known = self.chain().find(|table| table.number() == from.table);
        let table = known.unwrap_or(self);
        let begin = if known.is_some() { from.bucket } else { 0 };
        let older =
            self.chain().find(|older| older.next().is_some_and(|next| std::ptr::eq(next, table)));
        let end = table.len().min(begin + buckets);
        for slot in (begin..end).flat_map(|bucket| table.bucket_slots(bucket)) {
            match slot.word.state() {
                State::Member => visit(Occupied(slot)),
                State::Shadow => arrived(slot, older, &hash).into_iter().for_each(&mut visit),
                State::Empty | State::Claim | State::Moved => {}
            }
        }
        if end < table.len() {
            return Some(Cursor { table: table.number(), bucket: end });
        }
        table.next().map(|next| Cursor { table: next.number(), bucket: 0 })
    }
}

/// The member behind a shadow, if the session has left the older table; a walk would miss it in
/// both otherwise.
#[cold]
fn arrived<'g, B>(
    shadow: SlotRef<'g, B>,
    older: Option<&'g Table<B>>,
    hash: impl Fn(&B) -> u64,
) -> Option<Occupied<'g, B>> {
    // SAFETY: a shadow owns a count (INVARIANT TABLE-REF) and was seen under the guard of `'g`.
    let hash = hash(unsafe { &*shadow.block()?.as_ptr() });
    let promoted = older.and_then(|older| shadow.promote(older.set_of(&older.probe(hash)), older));
    Occupied::of(promoted.unwrap_or_else(|| shadow.table.at(shadow.position)))
}
