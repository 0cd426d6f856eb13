//! The metrics of ingress.

yahtzee_runtime::metrics! {
    Counter INGRESS_REQUESTS = "yahtzee_ingress_requests_total" ["status"] Count,
        "Drain requests by HTTP status of the reply";
    Counter INGRESS_FRAMES = "yahtzee_ingress_frames_total" ["outcome"] Count,
        "Drain requests that carried content, by outcome: stored, duplicate, unreadable, not_stored";
    Counter INGRESS_LINES = "yahtzee_ingress_lines_total" ["class"] Count,
        "Log lines read, by class of line";
    Counter INGRESS_BYTES = "yahtzee_ingress_body_bytes_total" [] Count,
        "Bytes of drain bodies after decompression";
    Counter INGRESS_MEASUREMENTS = "yahtzee_ingress_measurements_total" ["type"] Count,
        "Measurements written to raw topics, by measurement type";
    Counter INGRESS_REPAIRED = "yahtzee_ingress_frames_repaired_total" [] Count,
        "Messages with a wrong octet count and a boundary that was found by repair";
    Counter INGRESS_SKIPPED_BYTES = "yahtzee_ingress_skipped_bytes_total" [] Count,
        "Bytes of drain bodies that belong to no readable message";
    Counter INGRESS_COUNT_MISMATCHES = "yahtzee_ingress_count_mismatches_total" [] Count,
        "Bodies with a number of messages other than in Logplex-Msg-Count";
    Counter INGRESS_TIME_REPLACED = "yahtzee_ingress_time_replaced_total" [] Count,
        "Measurements with an unreadable time, replaced by that of the latest line of their body, or by the receive time of a body without an id";
    Counter INGRESS_UNTIMED = "yahtzee_ingress_untimed_total" [] Count,
        "Measurements dropped, because neither their line nor another one of its body has a readable time";
    Counter INGRESS_TRUNCATED = "yahtzee_ingress_lines_truncated_total" [] Count,
        "Platform lines that were cut and gave no measurement";
    Counter INGRESS_OVERSIZED = "yahtzee_ingress_oversized_total" [] Count,
        "Measurements dropped, because one alone is larger than a record may be";
    Counter INGRESS_FOREIGN = "yahtzee_ingress_foreign_total" [] Count,
        "Measurements dropped, because the log token of their line names an app that the credential is not bound to";
    Counter INGRESS_UNKNOWN_TOKENS = "yahtzee_ingress_unknown_tokens_total" [] Count,
        "Bodies with a drain token that is in no table: the owner was derived from the token";
    Counter INGRESS_UNKNOWN_OWNERS_REFUSED = "yahtzee_ingress_unknown_owners_refused_total" [] Count,
        "Bodies answered with 429, because the configuration does not name their owner and `ingress.unknown_owners_max` others neither";
    Counter INGRESS_BODIES_WITHOUT_MEMORY = "yahtzee_ingress_bodies_without_memory_total" [] Count,
        "Bodies answered with 503, because those of other requests take `ingress.memory_max_mib` already";
    Counter INGRESS_REJECTED_VALUES = "yahtzee_ingress_rejected_values_total" [] Count,
        "Values of language metrics that are no number in range, or have no usable name";
    Counter INGRESS_STAMPS_REFUSED = "yahtzee_ingress_stamps_refused_total" [] Count,
        "Appends that the log refused, because the clock of this machine is ahead";
    Histogram INGRESS_ACK_SECONDS = "yahtzee_ingress_ack_seconds" [] Seconds,
        "Time from the end of a drain request's body to its reply";
}
