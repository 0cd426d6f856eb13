//! The real job on messages that are decoded already: what is left is windows and accumulators.

use prost::bytes::{Buf, BufMut};
use prost::encoding::{DecodeContext, WireType, skip_field};
use prost::{DecodeError, Message};
use yahtzee_core::job::Job;
use yahtzee_core::window::Intake;
use yahtzee_jobs::router_latency::{Requests, RouterLatency};
use yahtzee_proto::raw::RouterRequests;
use yahtzee_proto::summary;

use crate::traffic::RawRecord;

const FRAME_ID_BYTES: usize = 16;

/// [`RouterLatency`] over messages in memory. Its records hold a frame id and the place of a message.
pub(crate) struct Predecoded {
    messages: Vec<RouterRequests>,
}

/// What stands in a record instead of the message: decoding it copies 20 bytes.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Handle {
    frame_id: [u8; FRAME_ID_BYTES],
    message: u32,
}

impl Predecoded {
    /// Decodes the records, and replaces their values by handles.
    pub(crate) fn from_records(records: &[RawRecord]) -> (Self, Vec<RawRecord>) {
        let decode =
            |record: &RawRecord| RouterRequests::decode(&*record.value).expect("the traffic is well formed");
        let messages: Vec<_> = records.iter().map(decode).collect();
        let handle = |(record, message): (&RawRecord, u32)| {
            let frame_id = messages[message as usize].frame_id.as_slice();
            let frame_id = frame_id.try_into().expect("the traffic's frame ids have 16 bytes");
            RawRecord { value: Handle { frame_id, message }.encode_to_vec(), ..record.clone() }
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
    type Record = Handle;
    type Accumulator = Requests;
    type Summary = summary::RouterLatency;

    fn frame_id(record: &Handle) -> &[u8] {
        &record.frame_id
    }

    fn fold(&self, record: &Handle, intake: &mut Intake<'_, Requests>) {
        RouterLatency.fold(&self.messages[record.message as usize], intake);
    }

    fn summarize(&self, requests: &Requests) -> summary::RouterLatency {
        RouterLatency.summarize(requests)
    }
}

/// Not protobuf: frame id, then the place as little endian 32 bits.
impl Message for Handle {
    fn encode_raw(&self, buffer: &mut impl BufMut) {
        buffer.put_slice(&self.frame_id);
        buffer.put_u32_le(self.message);
    }

    fn merge(&mut self, mut buffer: impl Buf) -> Result<(), DecodeError> {
        buffer.copy_to_slice(&mut self.frame_id);
        self.message = buffer.get_u32_le();
        Ok(())
    }

    fn merge_field(
        &mut self,
        tag: u32,
        wire_type: WireType,
        buffer: &mut impl Buf,
        context: DecodeContext,
    ) -> Result<(), DecodeError> {
        skip_field(wire_type, tag, buffer, context)
    }

    fn encoded_len(&self) -> usize {
        FRAME_ID_BYTES + size_of::<u32>()
    }

    fn clear(&mut self) {
        *self = Self::default();
    }
}
