//! Plausible mistakes, each with the property that must notice it. They are how we know that every rule is needed
//! and that every rule is tested.

use std::sync::Arc;

use yahtzee_core::commit::Identity;
use yahtzee_core::delivery::rules::{DeliveryRules, ProductionDelivery};
use yahtzee_core::erased::{AnyPartition, erase};
use yahtzee_core::partition::{History, Opened, PartitionCore, ResumeError};
use yahtzee_core::rules::{Production, Rules};
use yahtzee_core::slot::rules::{SlotProduction, SlotRules};
use yahtzee_core::window::Policy;

use crate::failure::Property;
use crate::job::SimJob;
use crate::shell::{ProductionShell, ShellRules};

mod altered;
mod core;
mod delivery;
mod list;
mod shell;
mod slot;

pub use list::mutants;

/// Opens a partition under a set of core rules.
pub(crate) type Open =
    fn(Arc<SimJob>, Policy, Identity, History<'_>) -> Result<Opened<Box<dyn AnyPartition>>, ResumeError>;

/// One mistake, or none.
#[derive(Clone, Copy, Debug)]
pub struct Mutant {
    /// By which it is selected.
    pub name: &'static str,
    /// What it does wrong.
    pub mistake: &'static str,
    /// Who must notice.
    pub killed_by: Property,
    /// Seeds within which that must happen.
    pub seeds: u64,
    pub(crate) open: Open,
    pub(crate) slot: &'static dyn SlotRules,
    pub(crate) shell: &'static dyn ShellRules,
    pub(crate) delivery: &'static dyn DeliveryRules,
}

/// No mistake.
pub const PRODUCTION: Mutant = Mutant {
    name: "production",
    mistake: "none",
    killed_by: Property::Final,
    seeds: 0,
    open: open::<Production>,
    slot: &SlotProduction,
    shell: &ProductionShell,
    delivery: &ProductionDelivery,
};

fn open<R: Rules>(
    job: Arc<SimJob>,
    policy: Policy,
    identity: Identity,
    history: History<'_>,
) -> Result<Opened<Box<dyn AnyPartition>>, ResumeError> {
    PartitionCore::<SimJob, R>::open(job, policy, identity, history).map(erase)
}
