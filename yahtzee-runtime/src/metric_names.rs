//! The metrics of the worker. Ingress and storage have lists of their own; the command line joins them.

crate::metrics! {
    // Record
    Counter RECORD_READ = "yahtzee_record_read_total" ["job"] Count,
        "Raw records read";
    Counter RECORD_READ_BYTES = "yahtzee_record_read_bytes_total" ["job"] Count,
        "Bytes of raw records read, keys and values";
    Counter RECORD_MEASUREMENTS = "yahtzee_record_measurements_total" ["job", "outcome"] Count,
        "Measurements by outcome: accepted, late, future, duplicate, incomplete, capped";
    Counter RECORD_LATE = "yahtzee_record_late_total" ["job", "by"] Count,
        "Late measurements by how far beyond the allowed lateness they were: 1m, 10m, 1h, more";
    Counter RECORD_DEAD_LETTERS = "yahtzee_record_dead_letters_total" ["job"] Count,
        "Records written to the DLQ topic";
    Counter RECORD_POISON = "yahtzee_record_poison_total" ["job", "reason"] Count,
        "Raw records that could not be used at all, by reason";
    Counter RECORD_STAMPS_TRAILING = "yahtzee_record_stamps_trailing_total" ["job"] Count,
        "Raw records with a stamp behind the watermark by more than the clock skew: the clock of an ingress is behind";
    Gauge RECORD_POSITION_LAG = "yahtzee_record_position_lag" ["job", "partition"] Count,
        "Raw records between the read position and the end of the partition: work not yet done";
    Gauge RECORD_REPLAY_LAG = "yahtzee_record_replay_lag" ["job", "partition"] Count,
        "Raw records between the committed offset and the read position: what a restart would read again. Trails by design";

    // Window
    Gauge WINDOW_OPEN = "yahtzee_window_open" ["job"] Count,
        "Open windows over all partitions of this worker";
    Gauge WINDOW_SERIES = "yahtzee_window_series" ["job"] Count,
        "Series over all open windows of this worker";
    Gauge WINDOW_MEMORY_BYTES = "yahtzee_window_memory_bytes" ["job"] Count,
        "Memory of the open windows and of what waits to be written";
    Counter WINDOW_FRAMES_FORGOTTEN = "yahtzee_window_frames_forgotten_total" ["job"] Count,
        "Frames accepted into windows that had no room to remember them: a repetition would count again";
    Gauge WATERMARK_AGE_SECONDS = "yahtzee_watermark_age_seconds" ["job", "partition"] Seconds,
        "Wall clock minus the partition's watermark";
    Gauge WATERMARKS_AHEAD = "yahtzee_watermarks_ahead" ["job"] Count,
        "Partitions with a watermark ahead of the wall clock by more than the clock skew: a clock is wrong";
    Gauge WINDOWS_INCOMPLETE = "yahtzee_windows_incomplete" ["job", "partition"] Count,
        "Windows that may have lost input and are not published";

    // Summary
    Counter SUMMARY_EMITTED = "yahtzee_summaries_emitted_total" ["job", "kind"] Count,
        "Summaries acknowledged by the log, by kind: change, final";
    Counter SUMMARY_FAILED = "yahtzee_summaries_failed_total" ["job", "reason"] Count,
        "Summaries that are not published: too_large for any log, or panic of the job's code. Changes are left out, final ones go to the DLQ topic. Alarm on any";
    Counter JOB_RESTARTS = "yahtzee_job_restarts_total" ["job"] Count,
        "Times that a job started again from its last commit after a failure that may pass";

    // Commit
    Counter COMMIT_DONE = "yahtzee_commit_total" ["job"] Count,
        "Commits acknowledged, counted per partition";
    Gauge COMMIT_AGE_SECONDS = "yahtzee_commit_age_seconds" ["job"] Seconds,
        "Age of the stalest partition's last commit that covered everything read";
}
