//! The metrics of sink, retry process and retention.

yahtzee_runtime::metrics! {
    // Sink
    Counter SINK_SUMMARIES = "yahtzee_sink_summaries_total" ["store", "outcome"] Count,
        "Summaries handled by the sink, by outcome: stored, stale, expired, retry, quarantined, held. Alarm on quarantined and held";
    Counter SINK_CHAIN_VIOLATIONS = "yahtzee_sink_chain_violations_total" ["store"] Count,
        "Summaries that contradict the stored one: of the same generation and impossible after it, or of the same revision with other bytes. Must stay 0. Alarm on any";
    Counter SINK_LOST = "yahtzee_sink_lost_total" ["store"] Count,
        "Offsets of summary topics that retention deleted before they were stored: rows may be missing. Alarm on any, and replay";
    Counter SINK_REREAD = "yahtzee_sink_reread_total" ["store", "shard"] Count,
        "Offsets of summary topics that are read again because the database of the shard was restored to an earlier point";
    Counter SINK_OLDER_GENERATIONS = "yahtzee_sink_older_generations_total" ["job"] Count,
        "Summaries of an older generation of their job that come more than ten minutes behind a newer one: a generation was taken back";
    Counter SINK_VANISHED = "yahtzee_sink_vanished_total" ["store", "shard"] Count,
        "Offsets that the shard has stored and that the summary topic does not have any more: the log was put back to an earlier state. Alarm on any";
    Gauge SINK_LAG = "yahtzee_sink_lag" ["topic"] Count,
        "Summary records between the sink's position and the end, over all partitions";
    Gauge SINK_UNSETTLED = "yahtzee_sink_unsettled" ["topic"] Count,
        "Summary records that were read and are neither stored nor handed over yet";
    Gauge SINK_UNSETTLED_SPAN = "yahtzee_sink_unsettled_span" ["topic"] Count,
        "Offsets between the lowest unsettled record and the position, of the partition with most: what a restart reads again";
    Gauge SINK_QUEUED = "yahtzee_sink_queued" ["store", "shard"] Count,
        "Summaries that wait for the shard in memory";
    Gauge SINK_SHARD_MODE = "yahtzee_sink_shard_mode" ["store", "shard"] Count,
        "What becomes of the shard's summaries: 0 written, 1 waiting for a slow or failed write, 2 handed to RETRY, 3 held for a wrong configuration. Alarm on 2 and 3";
    Histogram SINK_WRITE_SECONDS = "yahtzee_sink_write_seconds" ["store", "shard"] Seconds,
        "Time that one write of a batch takes";
    Histogram SINK_WRITE_ROWS = "yahtzee_sink_write_rows" ["store", "shard"] Count,
        "Summaries per write of a batch";

    // Retry
    Counter RETRY_SUMMARIES = "yahtzee_retry_summaries_total" ["store", "outcome"] Count,
        "Records that have left RETRY, by outcome: stored, stale, expired, superseded, requeued, moved, quarantined, foreign. Alarm on quarantined";
    Counter RETRY_WRITES = "yahtzee_retry_writes_total" ["store", "shard"] Count,
        "Tries to write a batch from RETRY to the shard";
    Counter RETRY_LOST = "yahtzee_retry_lost_total" ["store"] Count,
        "Offsets of RETRY that retention deleted before they were written: the store misses summaries. Alarm on any, and replay";
    Counter RETRY_REREAD = "yahtzee_retry_reread_total" ["store", "shard"] Count,
        "Offsets of RETRY that are read again because the database of the shard was restored to an earlier point";
    Counter RETRY_VANISHED = "yahtzee_retry_vanished_total" ["store", "shard"] Count,
        "Offsets that the shard has stored and that RETRY does not have any more: the log was put back to an earlier state. Alarm on any";
    Gauge RETRY_WAITING = "yahtzee_retry_waiting" ["store", "shard"] Count,
        "Records of RETRY that are not settled yet. Alarm if it grows for longer than an outage should last";
    Gauge RETRY_OLDEST_AGE_SECONDS = "yahtzee_retry_oldest_age_seconds" ["store", "shard"] Seconds,
        "Time since the first failure of the oldest record that waits. Alarm well before the retention of RETRY";

    // Retention
    Counter RETENTION_DAYS_DROPPED = "yahtzee_retention_days_dropped_total" ["store"] Count,
        "Number of days that retention has dropped from the store";
    Counter RETENTION_FAILURES = "yahtzee_retention_failures_total" ["store", "task"] Count,
        "Times that the store could not do a task: create, drop. Alarm if it lasts a day: midnight needs tomorrow's day";
}
