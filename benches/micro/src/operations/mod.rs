//! What is measured.

mod adds;
mod lookups;
mod removals;
mod tickets;

use crate::Operation;

/// Whoever goes through the operations.
pub trait Visitor {
    /// Looks at one operation for one number of sessions, which is of `O::SIZES`.
    fn visit<O: Operation>(&mut self, sessions: usize);
}

/// Shows `visitor` each operation in each of its sizes, in the order of the tables.
pub fn visit(visitor: &mut impl Visitor) {
    visit_sizes::<lookups::Get>(visitor);
    visit_sizes::<lookups::GetFirst>(visitor);
    visit_sizes::<lookups::Read>(visitor);
    visit_sizes::<lookups::Miss>(visitor);
    visit_sizes::<adds::Identical>(visitor);
    visit_sizes::<adds::Replacing>(visitor);
    visit_sizes::<adds::Below>(visitor);
    visit_sizes::<adds::AtCapacity>(visitor);
    visit_sizes::<removals::Take>(visitor);
    visit_sizes::<removals::Remove>(visitor);
    visit_sizes::<tickets::Mix>(visitor);
}

fn visit_sizes<O: Operation>(visitor: &mut impl Visitor) {
    O::SIZES.iter().for_each(|&sessions| visitor.visit::<O>(sessions));
}
