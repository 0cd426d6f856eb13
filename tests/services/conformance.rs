//! What every log must do: one property per function, run against each implementation.
//!
//! An implementation provides a [`Bench`] and writes `crate::conformance::each_property!(its bench);` inside a
//! module of its own: each property then is a test of its own.
//!
//! Nothing here assumes offsets without gaps (Kafka's transaction markers occupy some) or that one call's
//! outcome is known before the call is answered.

pub(crate) mod appends;
pub(crate) mod commits;
pub(crate) mod headers;
pub(crate) mod reads;
pub(crate) mod slots;
pub(crate) mod support;
pub(crate) mod topics;

use yahtzee_runtime::log::SharedLog;

/// What a property needs of the implementation under test.
pub(crate) trait Bench {
    /// The log. Every call may answer with the same one.
    fn log(&self) -> SharedLog;

    /// The log as a later process finds it. The caller has dropped all it had of the log before.
    fn reopen(&self) -> SharedLog;

    /// A topic name that nobody used before; no topic of this name exists yet.
    fn topic(&self, hint: &str) -> String;

    /// A consumer group that nobody used before.
    fn group(&self, hint: &str) -> String;
}

/// Makes one `#[test]` of every property, each with a bench of its own from the given expression.
macro_rules! each_property {
    ($bench:expr) => {
        $crate::conformance::each_property! { @tests [$bench]
            appends {
                reads_back_what_was_appended,
                keeps_the_order_of_many_appends,
                loses_nothing_of_concurrent_appenders,
                refuses_a_record_that_no_broker_takes,
                finds_everything_after_reopening,
            }
            headers {
                reads_back_headers_in_their_order,
                the_last_header_of_a_name_counts,
                a_slot_writer_appends_headers,
                finds_headers_after_reopening,
                refuses_a_header_name_with_a_nul,
            }
            reads {
                reads_from_explicit_offsets,
                reports_the_end_again_after_each_append,
                reports_the_end_of_an_empty_partition,
                keeps_partitions_apart,
                reports_an_offset_out_of_range_and_reads_on_elsewhere,
                bounds_follow_the_appends,
                finds_the_first_record_of_a_time,
                scans_each_record_once_and_ends,
                finds_the_first_records_from_an_offset,
                moves_a_reader_from_piece_to_piece,
            }
            commits {
                gives_back_commits_with_their_metadata,
                commits_several_topics_at_once,
                rewinds,
                keeps_groups_apart,
                names_the_groups_that_have_committed,
                refuses_metadata_that_no_broker_takes,
            }
            slots {
                makes_records_and_commits_visible_together,
                aborts_what_is_not_committed,
                aborts_when_the_thread_panics,
                commits_without_records,
                commits_all_offsets_of_a_write,
                fences_the_earlier_writer_of_a_slot,
                fences_a_writer_in_the_middle_of_a_write,
                does_not_fence_other_slots,
                leaves_no_trace_of_a_failed_write,
                leaves_no_trace_of_a_failed_commit,
            }
            topics {
                describes_what_was_created,
                refuses_stamps_ahead_of_its_clock,
                creates_a_topic_once,
                names_what_is_missing,
                requires_a_topic_with_its_partitions,
            }
        }
    };
    (@tests [$bench:expr] $($part:ident { $($name:ident,)* })*) => {
        $(mod $part {
            #[allow(unused_imports, reason = "the bench expression may name what its module imports")]
            use super::*;

            $(#[test]
            fn $name() {
                $crate::conformance::$part::$name(&$bench);
            })*
        })*
    };
}
pub(crate) use each_property;
