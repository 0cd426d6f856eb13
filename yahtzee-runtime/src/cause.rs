//! The cause of a failure, of a log or a store.

use std::borrow::Cow;
use std::error::Error;
use std::fmt;
use std::sync::Arc;

/// Why a log or a store does not answer or accept: a stable code, a text for people, and the error of the library
/// behind it. Cheap to clone: it is shared by all rows of a failed batch.
#[derive(Clone, Debug)]
pub struct Cause {
    code: Cow<'static, str>,
    text: Arc<str>,
    source: Option<Arc<dyn Error + Send + Sync>>,
}

impl Cause {
    /// Creates a cause that is known here, under a code such as `queue-full`.
    pub fn new(code: impl Into<Cow<'static, str>>, text: impl Into<Arc<str>>) -> Self {
        Self { code: code.into(), text: text.into(), source: None }
    }

    /// Returns what kind of failure it is, the same for all topics, rows and shards: the code of the library (`kafka:Resolve`,
    /// a SQLSTATE), the kind of the operating system's error as in `io:StorageFull`, or a word of Yahtzee's own.
    #[must_use]
    pub fn code(&self) -> &str {
        &self.code
    }

    /// Returns the text for operators.
    #[must_use]
    pub fn text(&self) -> &str {
        &self.text
    }

    /// Replaces the text by one that says more.
    #[must_use]
    pub fn with_text(self, text: impl Into<Arc<str>>) -> Self {
        Self { text: text.into(), ..self }
    }

    /// Adds the error behind it.
    #[must_use]
    pub fn with_source(self, source: impl Error + Send + Sync + 'static) -> Self {
        Self { source: Some(Arc::new(source)), ..self }
    }
}

/// Code and text; errors of libraries cannot be compared.
impl PartialEq for Cause {
    fn eq(&self, other: &Self) -> bool {
        (&self.code, &self.text) == (&other.code, &other.text)
    }
}

impl Eq for Cause {}

impl fmt::Display for Cause {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.text)
    }
}

impl Error for Cause {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        let source: &(dyn Error + 'static) = self.source.as_deref()?;
        Some(source)
    }
}
