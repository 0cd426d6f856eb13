//! The end of every run: nothing fails any more, and everything must come to rest.

use crate::failure::Property;
use crate::ingress::NODES;
use crate::ops::{Fault, Op};
use crate::world::World;

/// Numbers of the processes that bring a run to its end.
pub(crate) const LAST_PROCESSES: u64 = 1_000_000;
/// Numbers of the processes of a generation that was raised.
const RAISED_PROCESSES: u64 = 2 * LAST_PROCESSES;
/// Steps of a process that is killed when it has begun.
const BEGINNING_STEPS: usize = 12;
/// Flush intervals within which everything must have caught up.
const ROUNDS: usize = 3;

impl World<'_> {
    /// Stops the faults, brings up one complete set of workers per version, and lets everything come to rest.
    /// Earlier processes have one more turn after that, as zombies.
    pub(crate) fn settle(&mut self) {
        for partition in 0..self.config.partitions {
            self.apply(&Op::Hold { partition, is_held: false });
        }
        self.apply(&Op::Foreign { is_there: false });
        (0..NODES as u64).for_each(|node| self.apply(&Op::Clock { node, ahead_ms: 0 }));
        let zombies = self.processes();
        let successors = self.start_last();
        successors.iter().for_each(|&process| self.apply(&Op::Turn { process }));
        while !self.broker.network.is_empty() {
            self.apply(&Op::Deliver { nth: 0 });
        }
        if self.config.reopens_when_fenced == 0 {
            zombies.iter().for_each(|&process| self.apply(&Op::Turn { process }));
        }
        zombies.iter().for_each(|&process| self.apply(&Op::Kill { process }));
        // A zombie may have got no further than its start, and have fenced its successor.
        let last = self.start_last();
        self.apply(&Op::Advance { ms: self.config.transaction_timeout_ms + 1 });
        self.rounds(&last);
        let raised = self.raise_generations();
        self.deliveries.settle(&self.broker, &mut self.watch.findings);
        for &process in last.iter().chain(&raised) {
            let behind: Vec<u32> = self
                .caught_up(process)
                .iter()
                .filter(|(_, is_done)| !is_done)
                .map(|&(partition, _)| partition)
                .collect();
            if !behind.is_empty() {
                self.watch
                    .findings
                    .fail(Property::Liveness, || format!("partitions {behind:?} have not caught up"));
            }
        }
    }

    /// Moves all watermarks beyond everything, so that all windows close.
    pub(crate) fn close_windows(&mut self) {
        let windows = self.config.lateness + self.config.future + 3;
        self.apply(&Op::Advance { ms: windows * self.config.length_ms + 2 * self.config.skew_ms });
        (0..self.config.partitions).for_each(|partition| self.apply(&Op::Heartbeat { partition }));
        let last = self.processes();
        self.rounds(&last);
        self.deliveries.settle(&self.broker, &mut self.watch.findings);
    }

    fn start_last(&mut self) -> Vec<u64> {
        let count = self.config.workers;
        let mut last = Vec::new();
        for generation in self.versions.clone() {
            for index in 0..count {
                let process = LAST_PROCESSES + last.len() as u64;
                self.apply(&Op::Start { process, generation: u64::from(generation), index, count });
                last.push(process);
            }
        }
        last
    }

    /// What an operator does if workers are refused because a log has lost what they had read: a greater generation folds
    /// anew what the log keeps. Another one follows for some other reason, and must know of the loss too. Returns the processes.
    fn raise_generations(&mut self) -> Vec<u64> {
        let count = self.config.workers;
        let mut all = Vec::new();
        for raise in 1..=2 {
            let newest = self.versions.iter().max().copied();
            let Some(newest) = newest.filter(|_| !self.watch.refused.is_empty()) else { break };
            let raised: Vec<u64> = (raise * RAISED_PROCESSES..raise * RAISED_PROCESSES + count).collect();
            // Who was refused in the midst of a write has left its transaction open.
            self.apply(&Op::Advance { ms: self.config.transaction_timeout_ms + 1 });
            for is_interrupted in [true, false] {
                for (index, &process) in (0..).zip(&raised) {
                    self.apply(&Op::Start { process, generation: u64::from(newest) + 1, index, count });
                }
                if is_interrupted {
                    self.begin(&raised);
                }
            }
            self.rounds(&raised);
            all.extend(raised);
        }
        all
    }

    /// Lets processes read and commit a little, and kills them.
    fn begin(&mut self, processes: &[u64]) {
        for _ in 0..ROUNDS {
            self.apply(&Op::Advance { ms: self.config.flush_ms });
            for &process in processes {
                for slot in (0..self.config.slots).cycle().take(BEGINNING_STEPS) {
                    self.apply(&Op::Step { process, slot, records: 2, fault: Fault::None });
                }
            }
        }
        processes.iter().for_each(|&process| self.apply(&Op::Kill { process }));
    }

    fn rounds(&mut self, processes: &[u64]) {
        for _ in 0..ROUNDS {
            self.apply(&Op::Advance { ms: self.config.flush_ms });
            processes.iter().for_each(|&process| self.apply(&Op::Turn { process }));
        }
    }
}
