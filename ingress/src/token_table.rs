//! The owners of tokens.

use std::collections::HashMap;

use uuid::Uuid;
use yahtzee_core::owner::Owner;

/// The known tokens: of drains (`d.<uuid>`), of log sources (`t.<uuid>`), of users of senders without a
/// token (`user.<name>`).
#[derive(Clone, Debug, Default)]
pub struct TokenTable {
    tokens: HashMap<Vec<u8>, TokenEntry>,
}

/// A known token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct TokenEntry {
    /// The owner.
    pub owner: Owner,
    /// Whether wrong octet counts of this sender are repaired.
    pub repair: bool,
}

impl TokenTable {
    /// Adds a token, or replaces its entry.
    pub fn insert(&mut self, token: impl Into<Vec<u8>>, entry: TokenEntry) {
        self.tokens.insert(token.into(), entry);
    }

    /// Returns the entry of `token`.
    #[must_use]
    pub fn get(&self, token: &[u8]) -> Option<TokenEntry> {
        self.tokens.get(token).copied()
    }

    /// Returns the owners of all known tokens.
    pub fn owners(&self) -> impl Iterator<Item = Owner> {
        self.tokens.values().map(|entry| entry.owner)
    }
}

impl<T: Into<Vec<u8>>> FromIterator<(T, Owner)> for TokenTable {
    /// Creates a table in which every sender's octet counts are repaired.
    fn from_iter<I: IntoIterator<Item = (T, Owner)>>(pairs: I) -> Self {
        let mut table = Self::default();
        for (token, owner) in pairs {
            table.insert(token, TokenEntry { owner, repair: true });
        }
        table
    }
}

/// Returns the owner of a token that no table knows: UUID v5 of the token in the OID namespace.
///
/// Every process derives the same one, so the data is kept together and can be claimed later.
#[must_use]
pub fn derived_owner(token: &[u8]) -> Owner {
    Owner(Uuid::new_v5(&Uuid::NAMESPACE_OID, token).into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn known_tokens_have_their_owner_and_others_a_derived_one() {
        let owner = Owner([7; 16]);
        let table: TokenTable = [("d.1", owner)].into_iter().collect();
        assert_eq!(table.get(b"d.1"), Some(TokenEntry { owner, repair: true }));
        assert_eq!(table.get(b"d.2"), None);
        // python3 -c "import uuid; print(uuid.uuid5(uuid.NAMESPACE_OID, 'd.2'))"
        assert_eq!(derived_owner(b"d.2").to_string(), "41a613a8-f495-5755-87fc-7c87b696fa3d");
        assert_ne!(derived_owner(b"d.2"), derived_owner(b"d.3"));
    }
}
