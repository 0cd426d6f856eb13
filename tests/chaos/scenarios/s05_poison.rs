//! S5: shards refuse one row in a thousand, as a CHECK does. All others are stored; those are in quarantine, and no
//! other. Then the cause goes, an operator requeues them, and they are stored too.

use std::collections::BTreeSet;
use std::time::Duration;

use anyhow::{Result, ensure};
use sha2::{Digest, Sha256};
use yahtzee_core::summary::SummaryKey;

use crate::judge::Listing;
use crate::postgres::for_each_table;
use crate::rig::Rig;
use crate::rows;

/// In a short run a thousand rows may be all there are.
const SHORT: Duration = Duration::from_secs(30);

/// The same choice as [`is_poison`].
const REFUSE: &str = "\
    CREATE OR REPLACE FUNCTION public.refuse() RETURNS trigger LANGUAGE plpgsql AS $$ \
    DECLARE hash bytea := sha256(convert_to(encode(uuid_send(NEW.owner), 'hex') || NEW.series \
        || (extract(epoch FROM NEW.window_start) * 1000)::bigint::text, 'UTF8')); \
    BEGIN \
        IF (get_byte(hash, 0) * 256 + get_byte(hash, 1)) % {one_in} = 0 THEN \
            RAISE EXCEPTION 'refused on purpose' USING ERRCODE = '23514'; \
        END IF; \
        RETURN NEW; \
    END $$; \
    CREATE TRIGGER refuse BEFORE INSERT OR UPDATE ON {table} FOR EACH ROW EXECUTE FUNCTION public.refuse()";
const TAKE: &str = "DROP TRIGGER refuse ON {table}";

fn one_in(rig: &Rig) -> u64 {
    if rig.options.duration < SHORT { 100 } else { 1_000 }
}

/// Whether the trigger refuses the row.
fn is_poison(key: &SummaryKey, one_in: u64) -> bool {
    let owner: String = key.owner.0.iter().map(|byte| format!("{byte:02x}")).collect();
    let series: String = key.dimensions.iter().map(|dimension| format!("/{dimension}")).collect();
    let hash = Sha256::digest(format!("{owner}{series}{}", key.window_start_ms));
    (u64::from(hash[0]) * 256 + u64::from(hash[1])).is_multiple_of(one_in)
}

pub(super) fn run(rig: &mut Rig) -> Result<()> {
    let sql = REFUSE.replace("{one_in}", &one_in(rig).to_string());
    rig.databases()?.shards.iter().try_for_each(|shard| for_each_table(shard, &sql))?;
    while !rig.is_over() {
        let interval = rig.options.interval();
        rig.pause(interval)?;
    }
    Ok(())
}

/// Checks what is in quarantine, and hands it in again.
pub(super) fn requeue(rig: &mut Rig) -> Result<()> {
    let found: BTreeSet<Vec<u8>> = rig.quarantined()?.into_iter().map(|it| it.key).collect();
    let expected = refused(rig)?;
    ensure!(!expected.is_empty(), "no row was refused: the run was too short to tell anything");
    rig.stores.findings.quarantined = found.len() as u64;
    rig.stores.findings.quarantine_wrong += found.symmetric_difference(&expected).count() as u64;
    rig.databases()?.shards.iter().try_for_each(|shard| for_each_table(shard, TAKE))?;
    rig.launcher.command(&["quarantine", "requeue", "--all"])?;
    rig.wait_for_retry()
}

/// Rows that the trigger refuses, and that are not stored as they should be. A row whose last revision was stored
/// before the trigger was there is not refused.
fn refused(rig: &Rig) -> Result<BTreeSet<Vec<u8>>> {
    let mut stored = Listing::new();
    for shard in &rig.databases()?.shards {
        let rows = rows::read(&shard.session()?, true)?;
        stored.extend(rows.into_iter().map(|row| (row.key.encode(), row.value)));
    }
    let one_in = one_in(rig);
    let is_refused = |(key, value): &(Vec<u8>, Vec<u8>)| {
        SummaryKey::decode(key).is_ok_and(|parts| is_poison(&parts, one_in)) && stored.get(key) != Some(value)
    };
    let expected = rig.raw.seen().sight.oracle.expected();
    Ok(expected.into_iter().filter(is_refused).map(|(key, _)| key).collect())
}
