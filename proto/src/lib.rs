//! Wire truth: the messages of raw topics ([`raw`]) and of summary topics ([`summary`]).
//!
//! Generated at build time from `proto/yahtzee/*.proto`; no logic lives here. Field numbers are permanent.

/// Records of the raw topics: one record per (drain frame, owner, measurement type).
#[allow(missing_docs, reason = "generated; the documentation is in proto/yahtzee/raw.proto")]
pub mod raw {
    include!(concat!(env!("OUT_DIR"), "/yahtzee.raw.v1.rs"));
}

/// Declares what jobs need to know of raw records: where the frame id is.
macro_rules! raw_messages {
    ($($name:ident)+) => { $(
        impl yahtzee_core::job::RawMessage for raw::$name {
            fn frame_id(&self) -> &[u8] {
                &self.frame_id
            }
        }
    )+ };
}

raw_messages! { RouterRequests DynoLoads DynoMemories PlatformErrors DynoEvents AppEvents LogLosses LangMetrics }

/// Values of the compacted summary topics.
#[allow(missing_docs, reason = "generated; the documentation is in proto/yahtzee/summary.proto")]
pub mod summary {
    include!(concat!(env!("OUT_DIR"), "/yahtzee.summary.v1.rs"));
}

/// Records of the DLQ and LATE topics.
#[allow(missing_docs, reason = "generated; the documentation is in proto/yahtzee/letters.proto")]
pub mod letters {
    include!(concat!(env!("OUT_DIR"), "/yahtzee.letters.v1.rs"));
}
