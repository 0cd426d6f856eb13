//! Load averages per app and process type: samples of all its dynos, in thousandths.

use yahtzee::prelude::*;
use yahtzee_pipeline_proto::{RawMeasurement, raw, summary};

use crate::view::{self, Measurements};
use crate::{figures, wire};

/// Reads the measurements of [`raw::DynoLoad`].
#[derive(Clone, Copy, Debug)]
pub struct DynoLoad;

accumulator! {
    /// One process type of one app in one window.
    pub struct Loads {
        one_minute: Moments,
        five_minutes: Moments,
        fifteen_minutes: Moments,
    }
}

impl Job for DynoLoad {
    const NAME: &'static str = "dyno-load";
    const MEASUREMENT: &'static str = raw::DynoLoad::TYPE;
    const GENERATION: u32 = 1;
    const DIMENSIONS: &'static [&'static str] = &["process_type"];
    type Record<'a> = Measurements<'a, view::DynoLoad<'a>>;
    type Accumulator = Loads;
    type Summary = summary::DynoLoad;

    fn fold(&self, record: &Self::Record<'_>, intake: &mut Intake<'_, Self>) {
        for load in record.iter() {
            intake.add(load.time_us, [load.process_type], |loads| {
                wire::record(&mut loads.one_minute, load.load_1m_milli);
                wire::record(&mut loads.five_minutes, load.load_5m_milli);
                wire::record(&mut loads.fifteen_minutes, load.load_15m_milli);
            });
        }
    }

    fn summarize(&self, loads: &Loads) -> summary::DynoLoad {
        summary::DynoLoad {
            load_1m_milli: wire::moments(&loads.one_minute),
            load_5m_milli: wire::moments(&loads.five_minutes),
            load_15m_milli: wire::moments(&loads.fifteen_minutes),
        }
    }

    fn figures(summary: &summary::DynoLoad) -> Figures {
        let mut figures = Figures::new();
        figures::thousandths("load_1m", summary.load_1m_milli.as_ref(), &mut figures);
        figures::thousandths("load_5m", summary.load_5m_milli.as_ref(), &mut figures);
        figures::thousandths("load_15m", summary.load_15m_milli.as_ref(), &mut figures);
        figures
    }
}
