//! The fields that a measurement takes from its line's header and from the receipt.

use yahtzee_pipeline_proto::raw::Flag;

use super::timestamp;
use super::values::{self, DynoName};

/// Microseconds that a line's time may lie ahead of its receipt.
pub(crate) const MAX_AHEAD_US: i64 = 60_000_000;

/// The receipt of a line: where and when.
#[derive(Clone, Copy, Debug)]
pub struct ReceiveContext {
    /// Microseconds since 1970.
    pub recv_us: i64,
    /// Position in the body, a prepended L10 line not counted.
    pub frame_index: u32,
    /// Whether the message's border was found by repair.
    pub repaired: bool,
}

impl ReceiveContext {
    /// Returns the time that `text` says, microseconds since 1970; `None` if it is no time, or too far ahead of the
    /// receipt.
    pub(crate) fn own_time_us(&self, text: &[u8]) -> Option<i64> {
        let latest_us = self.recv_us.saturating_add(MAX_AHEAD_US);
        timestamp::parse_us(text).filter(|&time_us| time_us <= latest_us)
    }
}

/// The fields that all measurement messages have.
#[derive(Clone, Copy, Debug, Default)]
pub struct CommonFields<'a> {
    /// Event time, microseconds since 1970.
    pub time_us: i64,
    /// `web`, `worker` ...; empty where the line does not say.
    pub process_type: &'a str,
    /// 1 for `web.1`.
    pub dyno_num: Option<u32>,
    /// See [`ReceiveContext::frame_index`].
    pub frame_index: u32,
    /// Bits of [`Flag`].
    pub flags: u32,
}

impl<'a> CommonFields<'a> {
    /// Returns the fields of a line with this time of its own; without one it counts at its receive time.
    #[must_use]
    pub fn new(own_time_us: Option<i64>, context: ReceiveContext) -> Self {
        let ReceiveContext { recv_us, frame_index, repaired } = context;
        let time_us = own_time_us.unwrap_or(recv_us);
        let fields = Self { time_us, frame_index, ..Self::default() };
        fields.with_flag(Flag::TimeReplaced, own_time_us.is_none()).with_flag(Flag::RepairedFrame, repaired)
    }

    /// Returns the fields with the bit of `flag` if `is_set`.
    #[must_use]
    pub fn with_flag(self, flag: Flag, is_set: bool) -> Self {
        Self { flags: self.flags | if is_set { flag as u32 } else { 0 }, ..self }
    }

    /// Returns the fields of a measurement about `dyno`.
    #[must_use]
    pub fn about(self, dyno: DynoRef<'a>) -> Self {
        Self { process_type: dyno.process_type, dyno_num: dyno.dyno_num, ..self }
    }
}

/// The dyno that a line is about, or its process type alone.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct DynoRef<'a> {
    /// `web`, `worker` ...
    pub process_type: &'a str,
    /// 1 for `web.1`; `None` for a process type alone.
    pub dyno_num: Option<u32>,
}

impl<'a> DynoRef<'a> {
    /// Reads `web.1`, or a process type alone.
    #[must_use]
    pub fn parse(text: &'a [u8]) -> Option<Self> {
        let type_alone = || values::process_type(text).map(Self::of_type);
        DynoName::parse(text).map(Self::from).or_else(type_alone)
    }

    /// Returns a process type alone.
    #[must_use]
    pub fn of_type(process_type: &'a str) -> Self {
        Self { process_type, dyno_num: None }
    }
}

impl<'a> From<DynoName<'a>> for DynoRef<'a> {
    fn from(dyno: DynoName<'a>) -> Self {
        Self { process_type: dyno.process_type, dyno_num: Some(dyno.number) }
    }
}
