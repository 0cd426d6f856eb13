//! Check of a topic before anything is written to it or read from it.

use super::error::LogError;
use super::interface::Log;
use super::topic::{TopicDescription, TopicSpec};

/// Returns the description of a topic that exists and has as many partitions as wanted.
///
/// # Errors
/// [`LogError::NoSuchTopic`], or [`LogError::TopicDiffers`] if it has another number of partitions: owners would be
/// looked for in the wrong ones.
pub fn require_topic(log: &dyn Log, wanted: &TopicSpec) -> Result<TopicDescription, LogError> {
    let missing = || LogError::NoSuchTopic { topic: wanted.name.clone(), partition: None };
    let found = log.describe_topic(&wanted.name)?.ok_or_else(missing)?;
    if found.partitions != wanted.partitions {
        let difference = found.differences(wanted).swap_remove(0);
        return Err(LogError::TopicDiffers { topic: wanted.name.clone(), difference });
    }
    Ok(found)
}
