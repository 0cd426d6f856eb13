//! Memory per app and process type: samples of all its dynos, in bytes.

use yahtzee::prelude::*;
use yahtzee_pipeline_proto::{RawMeasurement, raw, summary};

use crate::view::{self, Measurements};
use crate::{figures, wire};

/// Reads the measurements of [`raw::DynoMemory`].
#[derive(Clone, Copy, Debug)]
pub struct DynoMemory;

accumulator! {
    /// One process type of one app in one window.
    pub struct Memory {
        total: Moments,
        rss: Moments,
        swap: Moments,
        cache: Moments,
        quota: Moments,
    }
}

impl Job for DynoMemory {
    const NAME: &'static str = "dyno-memory";
    const MEASUREMENT: &'static str = raw::DynoMemory::TYPE;
    const GENERATION: u32 = 1;
    const DIMENSIONS: &'static [&'static str] = &["process_type"];
    type Record<'a> = Measurements<'a, view::DynoMemory<'a>>;
    type Accumulator = Memory;
    type Summary = summary::DynoMemory;

    fn fold(&self, record: &Self::Record<'_>, intake: &mut Intake<'_, Self>) {
        for sample in record.iter() {
            intake.add(sample.time_us, [sample.process_type], |memory| {
                wire::record(&mut memory.total, sample.total_bytes);
                wire::record(&mut memory.rss, sample.rss_bytes);
                wire::record(&mut memory.swap, sample.swap_bytes);
                wire::record(&mut memory.cache, sample.cache_bytes);
                wire::record(&mut memory.quota, sample.quota_bytes);
            });
        }
    }

    fn summarize(&self, memory: &Memory) -> summary::DynoMemory {
        summary::DynoMemory {
            total_bytes: wire::moments(&memory.total),
            rss_bytes: wire::moments(&memory.rss),
            swap_bytes: wire::moments(&memory.swap),
            cache_bytes: wire::moments(&memory.cache),
            quota_bytes: wire::moments(&memory.quota),
        }
    }

    fn figures(summary: &summary::DynoMemory) -> Figures {
        let mut figures = Figures::new();
        figures::moments("total_bytes", summary.total_bytes.as_ref(), &mut figures);
        figures::moments("rss_bytes", summary.rss_bytes.as_ref(), &mut figures);
        figures::moments("swap_bytes", summary.swap_bytes.as_ref(), &mut figures);
        figures::moments("cache_bytes", summary.cache_bytes.as_ref(), &mut figures);
        figures::moments("quota_bytes", summary.quota_bytes.as_ref(), &mut figures);
        figures
    }
}
