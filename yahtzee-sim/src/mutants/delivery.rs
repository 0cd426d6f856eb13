//! Mistakes in the delivery of summaries: each type replaces one of its rules.

use std::time::Duration;

use yahtzee_core::delivery::rules::{DeliveryRules, ProductionDelivery, WrittenRow};
use yahtzee_core::delivery::{Disposal, OutcomeKind, QueuePolicy};
use yahtzee_core::record::Offset;
use yahtzee_core::summary::Revision;

/// Declares delivery with one rule replaced.
macro_rules! mistake {
    ($name:ident, fn $rule:ident($($argument:ident: $type:ty),*) -> $answer:ty $body:block) => {
        #[derive(Debug)]
        pub(super) struct $name;

        impl DeliveryRules for $name {
            fn $rule(&self, $($argument: $type),*) -> $answer $body
        }
    };
}

mistake!(
    CommitsPosition,
    fn committable(position: Offset, _open: Option<Offset>, _held: Option<Offset>) -> Offset {
        position
    }
);

mistake!(
    CommitsPastOpen,
    fn committable(position: Offset, _open: Option<Offset>, held: Option<Offset>) -> Offset {
        ProductionDelivery.committable(position, None, held)
    }
);

mistake!(
    CommitsPastHeld,
    fn committable(position: Offset, open: Option<Offset>, _held: Option<Offset>) -> Offset {
        ProductionDelivery.committable(position, open, None)
    }
);

mistake!(
    KeepsOldest,
    fn takes_the_place_of(new: Revision, waiting: Revision) -> bool {
        new < waiting
    }
);

mistake!(
    SupersededNotSettled,
    fn settles_superseded() -> bool {
        false
    }
);

mistake!(
    EarlierOpeningsKept,
    fn forgets_earlier_openings() -> bool {
        false
    }
);

mistake!(
    NeverHandsOver,
    fn gives_up(_down_for: Option<Duration>, _after: Option<Duration>) -> bool {
        false
    }
);

mistake!(
    QueueWithoutBound,
    fn has_room(_waiting: usize, _bytes: usize, _policy: &QueuePolicy) -> bool {
        true
    }
);

mistake!(
    HeldNeverProbed,
    fn probes_held() -> bool {
        false
    }
);

mistake!(
    HeldNotReadAgain,
    fn reads_again_after_probe() -> bool {
        false
    }
);

mistake!(
    SettlesUnacknowledged,
    fn settles_handed_over(_is_acknowledged: bool) -> bool {
        true
    }
);

/// Declares delivery in which one outcome is dealt with as another disposal.
macro_rules! misplaced {
    ($name:ident, $kind:ident, $disposal:expr) => {
        mistake!(
            $name,
            fn dispose(batch: &[WrittenRow], is_down: bool) -> Vec<Disposal> {
                let disposals = ProductionDelivery.dispose(batch, is_down);
                let replace = |(row, disposal): (&WrittenRow, Disposal)| match row.kind {
                    OutcomeKind::$kind => $disposal,
                    _ => disposal,
                };
                batch.iter().zip(disposals).map(replace).collect()
            }
        );
    };
}

misplaced!(RetryableSettled, Retryable, Disposal::Settle);
misplaced!(PoisonSettled, Poison, Disposal::Settle);
misplaced!(PoisonHandedOver, Poison, Disposal::HandOver);
misplaced!(MisconfiguredHandedOver, Misconfigured, Disposal::HandOver);
misplaced!(StaleIsFailure, Stale, Disposal::Again { is_own_failure: true });

mistake!(
    PoisonTakesNeighbours,
    fn dispose(batch: &[WrittenRow], is_down: bool) -> Vec<Disposal> {
        if batch.iter().any(|row| row.kind == OutcomeKind::Poison) {
            return vec![Disposal::Quarantine; batch.len()];
        }
        ProductionDelivery.dispose(batch, is_down)
    }
);
