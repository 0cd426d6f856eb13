//! S3: an operator's mistakes. The role loses its rights on the tables of a shard and gets them back: what belongs
//! there waits in the summary topic, and the other shards go on. Then somebody drops the day of a shard by hand: it is
//! created again at once, but rows that had been committed come back only when the summary topic is read from its
//! start, which is what is done here; the topic alone must restore them.

use anyhow::Result;

use crate::postgres::{Database, for_each_table};
use crate::rig::Rig;

const REVOKE: &str = "REVOKE ALL ON {table} FROM {role}; REVOKE ALL ON SCHEMA {schema} FROM {role}";
const GRANT: &str = "GRANT ALL ON SCHEMA {schema} TO {role}; GRANT ALL ON {table} TO {role}";

pub(super) fn run(rig: &mut Rig) -> Result<()> {
    while !rig.is_over() {
        let interval = rig.options.interval();
        rig.pause(interval)?;
        let shard = rig.any_shard()?;
        let role = rig.databases()?.role.clone();
        for_each_table(&shard, &REVOKE.replace("{role}", &role))?;
        rig.pause(interval)?;
        rig.others_keep_up(|other| other.name != shard.name)?;
        for_each_table(&shard, &GRANT.replace("{role}", &role))?;
        rig.wait_for_rows(|other| other.name == shard.name)?;
        let shard = rig.any_shard()?;
        drop_days(rig, &shard)?;
        rig.pause(interval)?;
        rig.take_sink_away()?;
        rig.rewind_sinks()?;
        rig.start_sink()?;
        rig.wait_for_rows(|_| true)?;
    }
    Ok(())
}

/// Readers see the rows vanish, and are made to expect it.
fn drop_days(rig: &Rig, shard: &Database) -> Result<()> {
    rig.shards()?.reader.forget_after(|| for_each_table(shard, "DROP SCHEMA {schema} CASCADE"))
}
