//! The fields that a measurement takes from its line's time and place.

use yahtzee_pipeline_proto::raw::Flag;

use super::values::{self, DynoName};

/// The time of a line, and its place in the body.
#[derive(Clone, Copy, Debug)]
pub struct LineContext {
    /// The time at which it is measured, microseconds since 1970.
    pub time_us: i64,
    /// Whether that is not its own time, because that is unreadable.
    pub time_replaced: bool,
    /// Position in the body, a prepended L10 line not counted.
    pub frame_index: u32,
    /// Whether the message's border was found by repair.
    pub repaired: bool,
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
    /// See [`LineContext::frame_index`].
    pub frame_index: u32,
    /// Bits of [`Flag`].
    pub flags: u32,
}

impl<'a> CommonFields<'a> {
    /// Returns the fields of a line.
    #[must_use]
    pub fn new(context: LineContext) -> Self {
        let LineContext { time_us, time_replaced, frame_index, repaired } = context;
        let fields = Self { time_us, frame_index, ..Self::default() };
        fields.with_flag(Flag::TimeReplaced, time_replaced).with_flag(Flag::RepairedFrame, repaired)
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
