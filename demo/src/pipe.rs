//! Pipes of `--input`, read while somebody still writes to them.

use std::fs::File;
use std::io::{self, ErrorKind, Read};
use std::path::PathBuf;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, sync_channel};
use std::time::Duration;

use yahtzee_runtime::shutdown::StopSignal;

/// Bytes that are read at once: what a pipe holds.
const BLOCK_BYTES: usize = 64 << 10;
/// Blocks that wait to be decompressed, at most.
const BLOCKS_MAX: usize = 16;
/// Interval at which a reader that waits looks whether it is stopped.
const TURN: Duration = Duration::from_millis(50);

/// The bytes of a pipe, which end where it ends or when reading is stopped, although nothing may come.
pub(crate) struct PipeReader {
    blocks: Receiver<io::Result<Vec<u8>>>,
    block: io::Cursor<Vec<u8>>,
    stop: StopSignal,
    was_stopped: bool,
}

impl PipeReader {
    /// Opens a pipe in a thread of its own, which waits for a writer and for each block, until the process ends if need be.
    ///
    /// # Errors
    /// If there can be no further thread.
    pub(crate) fn open(path: PathBuf, stop: StopSignal) -> io::Result<Self> {
        let (sender, blocks) = sync_channel(BLOCKS_MAX);
        std::thread::Builder::new().name("pipe".to_owned()).spawn(move || {
            if let Err(error) = File::open(path).and_then(|file| pass_on(file, &sender)) {
                // Nobody waits for it once reading is stopped.
                let _ = sender.send(Err(error));
            }
        })?;
        Ok(Self { blocks, block: io::Cursor::default(), stop, was_stopped: false })
    }

    /// Returns whether reading was stopped before the pipe ended.
    pub(crate) fn was_stopped(&self) -> bool {
        self.was_stopped
    }
}

/// Sends a pipe block by block, until it ends or nobody receives any more.
fn pass_on(mut pipe: impl Read, blocks: &SyncSender<io::Result<Vec<u8>>>) -> io::Result<()> {
    let mut block = vec![0; BLOCK_BYTES];
    loop {
        match pipe.read(&mut block) {
            Ok(0) => return Ok(()),
            Ok(length) if blocks.send(Ok(block[..length].to_vec())).is_err() => return Ok(()),
            Ok(_) => {}
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}

impl Read for PipeReader {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            let length = self.block.read(buffer)?;
            if length > 0 || buffer.is_empty() {
                return Ok(length);
            }
            if self.was_stopped || self.stop.is_stopped() {
                self.was_stopped = true;
                return Ok(0);
            }
            match self.blocks.recv_timeout(TURN) {
                Ok(block) => self.block = io::Cursor::new(block?),
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => return Ok(0),
            }
        }
    }
}
