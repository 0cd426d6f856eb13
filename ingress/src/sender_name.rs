//! The name of a sender, by which its deliveries have their frame ids.

use yahtzee_core::owner::Owner;

use crate::packer::digest_of;

/// The name of a sender. Names of two kinds are never the same, whatever a header says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SenderName {
    /// The token of a drain.
    DrainToken(Vec<u8>),
    /// The owner in the path, for want of a token.
    PathOwner(Owner),
    /// The user of Basic credentials, for want of an owner in the path.
    User(Vec<u8>),
    /// None of these.
    Anonymous,
    /// A dyno with a language runtime that posts.
    Dyno(Vec<u8>),
}

impl SenderName {
    /// Returns the name as the token table has it.
    #[must_use]
    pub fn text(&self) -> Vec<u8> {
        match self {
            Self::DrainToken(name) | Self::Dyno(name) => name.clone(),
            Self::PathOwner(owner) => format!("owner.{owner}").into_bytes(),
            Self::User(user) => [b"user.", user.as_slice()].concat(),
            Self::Anonymous => b"anonymous".to_vec(),
        }
    }

    /// Returns the frame id of the delivery that the sender calls `id`: the same for every attempt and on every node, different
    /// under another name, and for another owner.
    ///
    /// The first 16 bytes of SHA-256 over kind of name, owner, length of the name, name, and id. The owner is what a sender must
    /// have been allowed to write for: nobody can take an id from the deliveries of an owner that is not its own.
    #[must_use]
    pub fn frame_id(&self, owner: Owner, id: &[u8]) -> [u8; 16] {
        let name = self.text();
        digest_of(&[&[self.kind()], &owner.0, &(name.len() as u64).to_be_bytes(), &name, id])
    }

    /// Returns the number of its kind, part of every frame id.
    fn kind(&self) -> u8 {
        match self {
            Self::DrainToken(_) => 1,
            Self::PathOwner(_) => 2,
            Self::User(_) => 3,
            Self::Anonymous => 4,
            Self::Dyno(_) => 5,
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const OWNER: Owner = Owner([3; 16]);

    #[test]
    fn frame_ids_are_the_same_on_every_node() {
        let id = SenderName::DrainToken(b"d.1".to_vec()).frame_id(OWNER, b"ff");
        // (printf '\1'; printf '\3%.0s' {1..16}; printf '\0\0\0\0\0\0\0\3d.1ff') | sha256sum
        assert_eq!(id[..4], [0x7c, 0x42, 0x28, 0xa8]);
    }

    fn names() -> impl Strategy<Value = SenderName> {
        let text = "(owner\\.03030303-0303-0303-0303-030303030303|user\\.a|anonymous|d\\.1|a|)";
        let bytes = || text.prop_map(String::into_bytes);
        prop_oneof![
            bytes().prop_map(SenderName::DrainToken),
            bytes().prop_map(SenderName::User),
            bytes().prop_map(SenderName::Dyno),
            Just(SenderName::PathOwner(OWNER)),
            Just(SenderName::Anonymous),
        ]
    }

    proptest! {
        #[test]
        fn different_deliveries_have_different_frame_ids(
            deliveries in proptest::collection::vec((names(), 3_u8..5, "[a.1]{0,2}"), 2),
        ) {
            let id = |(name, owner, id): &(SenderName, u8, String)| name.frame_id(Owner([*owner; 16]), id.as_bytes());
            let [one, other] = [&deliveries[0], &deliveries[1]];
            prop_assert_eq!(id(one) == id(other), one == other);
        }
    }
}
