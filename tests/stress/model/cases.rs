//! Cases by chance, for proptest.

use proptest::collection::vec;
use proptest::prelude::{Strategy, any};
use testkit::model::{Operation, Setting};

/// Operations of a case.
pub(crate) const OPERATIONS: usize = 60;

pub(crate) fn cases() -> impl Strategy<Value = (Setting, Vec<Operation>)> {
    let setting =
        (any::<u8>(), any::<bool>(), 0..4u8).prop_map(|(capacity, auto_flush, update)| Setting {
            capacity,
            auto_flush,
            update_time: update == 3,
        });
    let operation = (0..Operation::KINDS, any::<u8>(), any::<u8>()).prop_map(Operation::decode);
    (setting, vec(operation, OPERATIONS))
}
