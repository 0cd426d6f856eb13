//! What every store must do: one property per function, run against each implementation.
//!
//! A store provides a [`Bench`] and writes `crate::stores::each_property!(its bench);` inside a module of its own: each
//! property then is a test of its own, with a bench of its own.

mod embedded;
pub(crate) mod floor;
pub(crate) mod keys;
pub(crate) mod marks;
mod postgres;
pub(crate) mod reads;
pub(crate) mod support;
pub(crate) mod writes;

use std::sync::Arc;

use yahtzee_storage::store::SummaryStore;

/// What a property needs of the store under test. Nobody else uses it while the property runs, and it is empty.
pub(crate) trait Bench {
    /// The store. Every call may answer with the same one.
    fn store(&self) -> Arc<dyn SummaryStore>;

    /// The store as a later process finds it. The caller has dropped all it had of the store before.
    fn reopen(&self) -> Arc<dyn SummaryStore>;
}

/// Makes one `#[test]` of every property, each with a bench of its own from the given expression.
macro_rules! each_property {
    ($bench:expr) => {
        $crate::stores::each_property! { @tests [$bench]
            writes {
                keeps_the_newest_of_any_order,
                keeps_the_newest_of_concurrent_writers,
                shows_no_reader_a_step_back,
                tells_a_break_of_the_chain,
                tells_equal_revisions_with_other_bytes,
                answers_an_empty_batch,
                keeps_everything_over_a_reopening,
            }
            marks {
                moves_a_mark_with_every_write,
                keeps_the_marks_of_partitions_apart,
                keeps_the_last_writers,
                leaves_a_mark_that_is_behind,
                moves_marks_as_the_rule_says,
            }
            keys {
                gives_back_any_key_and_value,
                keeps_odd_dimensions_apart,
                keeps_the_parts_of_a_key_apart,
                takes_the_greatest_that_is_read,
            }
            reads {
                finds_what_is_in_a_range_in_order,
                finds_nothing_outside_of_time,
                shows_the_newest_generation,
                ranks_the_owners_of_a_window,
            }
            floor {
                settles_what_is_below_and_recreates_nothing,
                moves_by_a_few_days_at_a_time,
                never_goes_down,
                leaves_created_days_alone,
                does_not_fail_readers,
                is_kept_over_a_reopening,
            }
        }
    };
    (@tests [$bench:expr] $($part:ident { $($name:ident,)* })*) => {
        $(mod $part {
            #[allow(unused_imports, reason = "the bench expression may name what its module imports")]
            use super::*;

            $(#[test]
            fn $name() {
                $crate::stores::$part::$name(&$bench);
            })*
        })*
    };
}
pub(crate) use each_property;
