//! The real job on messages that are decoded already: what is left is windows and accumulators.

use prost::Message;
use yahtzee_core::job::{Intake, Job, Record};
use yahtzee_core::wire::Malformed;
use yahtzee_jobs::router_latency::{self, Requests, RouterLatency};
use yahtzee_pipeline_proto::RecordOf;
use yahtzee_pipeline_proto::raw::RouterRequest;
use yahtzee_pipeline_proto::summary;

use crate::traffic::RawRecord;

const FRAME_ID_BYTES: usize = 16;

/// [`RouterLatency`] over messages in memory. Its records hold a frame id and the place of a message.
pub(crate) struct Predecoded {
    messages: Vec<RecordOf<RouterRequest>>,
}

/// What stands in a record instead of the message: decoding it copies 20 bytes.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Handle {
    frame_id: [u8; FRAME_ID_BYTES],
    message: u32,
}

impl Predecoded {
    /// Decodes the records, and replaces their values by handles.
    pub(crate) fn from_records(records: &[RawRecord]) -> (Self, Vec<RawRecord>) {
        let decode = |record: &RawRecord| {
            RecordOf::<RouterRequest>::decode(&*record.value).expect("the traffic is well formed")
        };
        let messages: Vec<_> = records.iter().map(decode).collect();
        let handle = |(record, message): (&RawRecord, u32)| {
            let value = [&*messages[message as usize].frame_id, &message.to_le_bytes()].concat();
            RawRecord { value, ..record.clone() }
        };
        let handles = records.iter().zip(0..).map(handle).collect();
        (Self { messages }, handles)
    }
}

impl Job for Predecoded {
    const NAME: &'static str = "predecoded-router-latency";
    const MEASUREMENT: &'static str = RouterLatency::MEASUREMENT;
    const GENERATION: u32 = RouterLatency::GENERATION;
    const DIMENSIONS: &'static [&'static str] = RouterLatency::DIMENSIONS;
    type Record<'a> = Handle;
    type Accumulator = Requests;
    type Summary = summary::RouterLatency;

    fn fold(&self, record: &Handle, intake: &mut Intake<'_, Self>) {
        let message = &self.messages[record.message as usize];
        router_latency::fold(message.measurements.iter().map(Into::into), intake);
    }

    fn summarize(&self, requests: &Requests) -> summary::RouterLatency {
        RouterLatency.summarize(requests)
    }
}

/// Frame id, then the place as little endian 32 bits.
impl Record<'_> for Handle {
    fn read(value: &[u8]) -> Result<Self, Malformed> {
        let (&frame_id, place) = value.split_first_chunk().ok_or(Malformed)?;
        let message = u32::from_le_bytes(place.try_into().map_err(|_| Malformed)?);
        Ok(Self { frame_id, message })
    }

    fn frame_id(&self) -> &[u8] {
        &self.frame_id
    }
}
