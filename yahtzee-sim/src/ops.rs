//! What can happen in a world, as an explicit list: the executor draws nothing, so a list can be cut down, saved
//! and replayed. An operation that does not apply is skipped.

use std::fmt;
use std::str::FromStr;

use crate::delivery::StoreFault;

/// One thing that happens. Processes and frames are named by numbers of the generator's choice.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Op {
    /// Time passes.
    Advance { ms: u64 },
    /// A drain delivers a frame of one or two owners, whose measurements alternate; event times are relative to now.
    Frame { frame: u64, owners: (u64, u64), node: u64, measurements: Vec<(i64, u32)> },
    /// The drain delivers an earlier frame once more.
    Redeliver { frame: u64, node: u64 },
    /// A record that cannot be used reaches the raw log.
    Poison { partition: u64, kind: u64 },
    /// The clock of an ingress node is set to be so far ahead of where it belongs; 0 sets it right.
    Clock { node: u64, ahead_ms: u64 },
    /// Ingress shows an idle partition that it is alive.
    Heartbeat { partition: u64 },
    /// A control record takes an offset.
    Control { partition: u64 },
    /// Someone's transaction holds back the last stable offset of a raw partition, or ends.
    Hold { partition: u64, is_held: bool },
    /// Retention removes this share of what is left of a raw partition.
    Truncate { partition: u64, permille: u64 },
    /// A raw partition loses so many of its newest records, and gives their offsets again.
    LoseTail { partition: u64, records: u64 },
    /// The raw topic is deleted and made anew.
    Recreate,
    /// The broker forgets a committed offset.
    Expire { partition: u64, generation: u64 },
    /// A foreign consumer joins or leaves our group.
    Foreign { is_there: bool },
    /// The broker restarts: requests on their way are gone, and writes under way fail.
    Restart,
    /// A request that was held up arrives.
    Deliver { nth: u64 },
    /// A worker process starts.
    Start { process: u64, generation: u64, index: u64, count: u64 },
    /// It dies on the spot.
    Kill { process: u64 },
    /// It is asked to end: it flushes.
    Drain { process: u64 },
    /// One of its slots takes its next step, with up to so many records.
    Step { process: u64, slot: u64, records: u64, fault: Fault },
    /// All of its slots go on until nothing is left to do.
    Turn { process: u64 },
    /// The cleaner compacts this share of the summary topic.
    Compact { permille: u64 },
    /// A sink takes so many summaries; it may take them in reverse order, and may crash half way.
    Sink { sink: u64, records: u64, is_reversed: bool, crashes: bool },
    /// A retry process takes so many records of each partition of RETRY, and may crash.
    Retry { store: u64, records: u64, crashes: bool },
    /// The log fails for a moment: the processes before a store open their sources again.
    Reopen { store: u64 },
    /// A shard of a store breaks, or works again.
    Shard { store: u64, shard: u64, fault: StoreFault },
    /// The database of a shard is backed up.
    Backup { store: u64, shard: u64 },
    /// It is set back to its backup, rows and marks, if it has one.
    Restore { store: u64, shard: u64 },
    /// A store begins or ends to refuse some rows as they are; RETRY and QUARANTINE of its processes to take nothing.
    Refuse { store: u64, is_picky: bool, refuses_appends: bool },
}

/// What becomes of the request of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It arrives and is answered.
    None,
    /// It is lost.
    Lost,
    /// It arrives; the answer is lost.
    Unanswered,
    /// Half of an append arrives.
    Cut,
    /// It arrives later; the sender has given up.
    Late,
    /// It arrives, and once more later.
    Twice,
}

const FAULTS: [(Fault, &str); 6] = [
    (Fault::None, "none"),
    (Fault::Lost, "lost"),
    (Fault::Unanswered, "unanswered"),
    (Fault::Cut, "cut"),
    (Fault::Late, "late"),
    (Fault::Twice, "twice"),
];

impl fmt::Display for Fault {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = FAULTS.iter().find(|(fault, _)| fault == self).map_or("none", |(_, name)| name);
        formatter.write_str(name)
    }
}

impl fmt::Display for Op {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Advance { ms } => write!(f, "advance {ms}"),
            Self::Frame { frame, owners, node, measurements } => {
                write!(f, "frame {frame} {} {} {node}", owners.0, owners.1)?;
                measurements.iter().try_for_each(|(ms, dimension)| write!(f, " {ms} {dimension}"))
            }
            Self::Redeliver { frame, node } => write!(f, "redeliver {frame} {node}"),
            Self::Poison { partition, kind } => write!(f, "poison {partition} {kind}"),
            Self::Clock { node, ahead_ms } => write!(f, "clock {node} {ahead_ms}"),
            Self::Heartbeat { partition } => write!(f, "heartbeat {partition}"),
            Self::Control { partition } => write!(f, "control {partition}"),
            Self::Hold { partition, is_held } => write!(f, "hold {partition} {}", u8::from(*is_held)),
            Self::Truncate { partition, permille } => write!(f, "truncate {partition} {permille}"),
            Self::LoseTail { partition, records } => write!(f, "lose-tail {partition} {records}"),
            Self::Recreate => f.write_str("recreate"),
            Self::Expire { partition, generation } => write!(f, "expire {partition} {generation}"),
            Self::Foreign { is_there } => write!(f, "foreign {}", u8::from(*is_there)),
            Self::Restart => f.write_str("restart"),
            Self::Deliver { nth } => write!(f, "deliver {nth}"),
            Self::Start { process, generation, index, count } => {
                write!(f, "start {process} {generation} {index} {count}")
            }
            Self::Kill { process } => write!(f, "kill {process}"),
            Self::Drain { process } => write!(f, "drain {process}"),
            Self::Step { process, slot, records, fault } => {
                write!(f, "step {process} {slot} {records} {fault}")
            }
            Self::Turn { process } => write!(f, "turn {process}"),
            Self::Compact { permille } => write!(f, "compact {permille}"),
            Self::Sink { sink, records, is_reversed, crashes } => {
                write!(f, "sink {sink} {records} {} {}", u8::from(*is_reversed), u8::from(*crashes))
            }
            Self::Retry { store, records, crashes } => {
                write!(f, "retry {store} {records} {}", u8::from(*crashes))
            }
            Self::Reopen { store } => write!(f, "reopen {store}"),
            Self::Shard { store, shard, fault } => write!(f, "shard {store} {shard} {}", *fault as u8),
            Self::Backup { store, shard } => write!(f, "backup {store} {shard}"),
            Self::Restore { store, shard } => write!(f, "restore {store} {shard}"),
            Self::Refuse { store, is_picky, refuses_appends } => {
                write!(f, "refuse {store} {} {}", u8::from(*is_picky), u8::from(*refuses_appends))
            }
        }
    }
}

/// A line that is no operation.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct UnknownOp(pub(crate) String);

impl FromStr for Op {
    type Err = UnknownOp;

    fn from_str(line: &str) -> Result<Self, UnknownOp> {
        let mut words = Words(line.split_whitespace());
        let op = words.op();
        op.filter(|_| words.0.next().is_none()).ok_or_else(|| UnknownOp(line.to_owned()))
    }
}

struct Words<'a>(std::str::SplitWhitespace<'a>);

impl Words<'_> {
    fn number<T: FromStr>(&mut self) -> Option<T> {
        self.0.next()?.parse().ok()
    }

    fn flag(&mut self) -> Option<bool> {
        self.number::<u8>().map(|flag| flag == 1)
    }

    fn fault(&mut self) -> Option<Fault> {
        let name = self.0.next()?;
        FAULTS.iter().find(|(_, known)| *known == name).map(|&(fault, _)| fault)
    }

    fn store_fault(&mut self) -> Option<StoreFault> {
        StoreFault::ALL.get(self.number::<usize>()?).copied()
    }

    fn measurements(&mut self) -> Option<Vec<(i64, u32)>> {
        let mut measurements = Vec::new();
        while let Some(ms) = self.0.next() {
            measurements.push((ms.parse().ok()?, self.number()?));
        }
        Some(measurements)
    }

    fn op(&mut self) -> Option<Op> {
        Some(match self.0.next()? {
            "advance" => Op::Advance { ms: self.number()? },
            "frame" => Op::Frame {
                frame: self.number()?,
                owners: (self.number()?, self.number()?),
                node: self.number()?,
                measurements: self.measurements()?,
            },
            "redeliver" => Op::Redeliver { frame: self.number()?, node: self.number()? },
            "poison" => Op::Poison { partition: self.number()?, kind: self.number()? },
            "clock" => Op::Clock { node: self.number()?, ahead_ms: self.number()? },
            "heartbeat" => Op::Heartbeat { partition: self.number()? },
            "control" => Op::Control { partition: self.number()? },
            "hold" => Op::Hold { partition: self.number()?, is_held: self.flag()? },
            "truncate" => Op::Truncate { partition: self.number()?, permille: self.number()? },
            "lose-tail" => Op::LoseTail { partition: self.number()?, records: self.number()? },
            "recreate" => Op::Recreate,
            "expire" => Op::Expire { partition: self.number()?, generation: self.number()? },
            "foreign" => Op::Foreign { is_there: self.flag()? },
            "restart" => Op::Restart,
            "deliver" => Op::Deliver { nth: self.number()? },
            "start" => Op::Start {
                process: self.number()?,
                generation: self.number()?,
                index: self.number()?,
                count: self.number()?,
            },
            "kill" => Op::Kill { process: self.number()? },
            "drain" => Op::Drain { process: self.number()? },
            "step" => Op::Step {
                process: self.number()?,
                slot: self.number()?,
                records: self.number()?,
                fault: self.fault()?,
            },
            "turn" => Op::Turn { process: self.number()? },
            "compact" => Op::Compact { permille: self.number()? },
            "sink" => Op::Sink {
                sink: self.number()?,
                records: self.number()?,
                is_reversed: self.flag()?,
                crashes: self.flag()?,
            },
            "retry" => Op::Retry { store: self.number()?, records: self.number()?, crashes: self.flag()? },
            "reopen" => Op::Reopen { store: self.number()? },
            "shard" => Op::Shard { store: self.number()?, shard: self.number()?, fault: self.store_fault()? },
            "backup" => Op::Backup { store: self.number()?, shard: self.number()? },
            "restore" => Op::Restore { store: self.number()?, shard: self.number()? },
            "refuse" => {
                Op::Refuse { store: self.number()?, is_picky: self.flag()?, refuses_appends: self.flag()? }
            }
            _ => return None,
        })
    }
}
