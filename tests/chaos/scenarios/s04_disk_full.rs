//! S4: writing to today's table of a shard fails for a while as it does on a full disk. The others go on.

use anyhow::Result;

use crate::postgres::for_each_table;
use crate::rig::Rig;

const FULL: &str = "\
    CREATE OR REPLACE FUNCTION public.disk_full() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN \
        RAISE EXCEPTION 'could not extend file: No space left on device' USING ERRCODE = '53100'; \
    END $$; \
    CREATE TRIGGER disk_full BEFORE INSERT ON {table} FOR EACH STATEMENT EXECUTE FUNCTION public.disk_full()";
const FREED: &str = "DROP TRIGGER disk_full ON {table}";

pub(super) fn run(rig: &mut Rig) -> Result<()> {
    while !rig.is_over() {
        let interval = rig.options.interval();
        rig.pause(interval)?;
        let shard = rig.any_shard()?;
        for_each_table(&shard, FULL)?;
        let time = rig.rng.duration(interval / 2, interval * 2);
        rig.pause(time)?;
        rig.others_keep_up(|other| other.name != shard.name)?;
        for_each_table(&shard, FREED)?;
        rig.wait_for_rows(|other| other.name == shard.name)?;
    }
    Ok(())
}
