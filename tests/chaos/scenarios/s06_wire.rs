//! S6: a wire to the first server on which connections are cut: all at once, or in the middle of a message, so that
//! nobody knows whether a batch was committed. At the start the sink fills empty tables by COPY, which is cut too.

use anyhow::{Context, Result, ensure};

use crate::postgres::{FIRST, for_each_table};
use crate::proxy::Proxy;
use crate::rig::Rig;

pub(super) fn run(rig: &mut Rig) -> Result<()> {
    let interval = rig.options.interval();
    rig.pause(interval)?;
    cut_copies(rig)?;
    while !rig.is_over() {
        rig.pause(interval / 2)?;
        match rig.rng.one_in(2) {
            true => proxy(rig)?.cut(),
            false => {
                proxy(rig)?.cut_messages(true);
                rig.pause(interval / 2)?;
                proxy(rig)?.cut_messages(false);
            }
        }
        rig.others_keep_up(|shard| shard.server != FIRST)?;
    }
    Ok(())
}

/// Lets the sink fill empty tables from the start of the summary topic: a batch is a COPY then.
fn cut_copies(rig: &mut Rig) -> Result<()> {
    rig.take_sink_away()?;
    rig.rewind_sinks()?;
    let shards = rig.shards()?;
    shards.reader.forget_after(|| {
        shards.databases.shards.iter().try_for_each(|shard| for_each_table(shard, "TRUNCATE {table}"))
    })?;
    proxy(rig)?.cut_messages(true);
    rig.start_sink()?;
    rig.wait_until("a COPY was cut", |rig| rig.proxy.as_ref().is_some_and(|it| it.copies_cut() > 0))?;
    proxy(rig)?.cut_messages(false);
    rig.wait_for_rows(|_| true)?;
    ensure!(proxy(rig)?.copies_cut() > 0, "no COPY was cut");
    Ok(())
}

fn proxy(rig: &Rig) -> Result<&Proxy> {
    rig.proxy.as_ref().context("this scenario runs through the proxy")
}
