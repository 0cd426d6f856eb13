//! A table of keys that each have a number per open window.

use hashbrown::HashTable;

use super::chunks::grown_capacity;
use super::keyed_hash::KeyedHash;

/// A key that a table finds.
pub(super) trait TableKey: Sized {
    /// The key of an id that is free.
    const VACANT: Self;

    /// The bytes that make the key; equal bytes are the same key.
    fn bytes(&self) -> &[u8];

    /// Bytes of it that stand on the heap.
    fn heap_bytes(&self) -> usize {
        0
    }
}

/// The position of a key in its table, valid while it has a number in some slot.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyId(u32);

impl KeyId {
    pub(super) const FIRST: Self = Self(0);
}

/// The hash of a key.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct KeyHash(u64);

/// Keys with a number per window slot; 0 means none, and a key that has only zeros is forgotten.
///
/// A key is stored once and found with one probe, however many windows it is in.
#[derive(Debug)]
pub(super) struct KeyTable<K> {
    hash: KeyedHash,
    ids: HashTable<u32>,
    keys: Vec<K>,
    /// `slots` cells per id, one for each window slot.
    cells: Vec<u32>,
    slots: usize,
    /// Ids whose keys are forgotten.
    free: Vec<u32>,
}

impl<K: TableKey> KeyTable<K> {
    pub(super) fn new(hash: KeyedHash) -> Self {
        Self { hash, ids: HashTable::new(), keys: Vec::new(), cells: Vec::new(), slots: 1, free: Vec::new() }
    }

    pub(super) fn slots(&self) -> usize {
        self.slots
    }

    /// Doubles the number of slots; the new ones are empty.
    pub(super) fn widen(&mut self) {
        let mut cells = Vec::with_capacity(self.cells.len() * 2);
        for id in self.cells.chunks_exact(self.slots) {
            cells.extend_from_slice(id);
            cells.extend(std::iter::repeat_n(0, self.slots));
        }
        self.cells = cells;
        self.slots *= 2;
    }

    pub(super) fn hash(&self, key: &[u8]) -> KeyHash {
        KeyHash(self.hash.of(key))
    }

    /// Returns the id of a key with this hash.
    pub(super) fn find(&self, hash: KeyHash, key: &[u8]) -> Option<KeyId> {
        self.ids.find(hash.0, |&id| self.keys[id as usize].bytes() == key).copied().map(KeyId)
    }

    /// Gives an id to a key that has none.
    pub(super) fn insert(&mut self, hash: KeyHash, key: K) -> KeyId {
        let id = match self.free.pop() {
            Some(id) => {
                self.keys[id as usize] = key;
                id
            }
            None => {
                let id = u32::try_from(self.keys.len()).expect("fewer than 2^32 series fit in memory");
                reserve(&mut self.keys, 1);
                self.keys.push(key);
                reserve(&mut self.cells, self.slots);
                self.cells.resize(self.cells.len() + self.slots, 0);
                id
            }
        };
        let Self { hash: keyed, ids, keys, .. } = self;
        ids.insert_unique(hash.0, id, |&id| keyed.of(keys[id as usize].bytes()));
        KeyId(id)
    }

    pub(super) fn key(&self, id: KeyId) -> &K {
        &self.keys[id.0 as usize]
    }

    pub(super) fn cell(&self, id: KeyId, slot: usize) -> u32 {
        self.cells[id.0 as usize * self.slots + slot]
    }

    pub(super) fn cell_mut(&mut self, id: KeyId, slot: usize) -> &mut u32 {
        &mut self.cells[id.0 as usize * self.slots + slot]
    }

    /// Empties a cell, and forgets a key that this leaves nowhere. A cell that is empty already may be emptied again.
    pub(super) fn clear(&mut self, id: KeyId, slot: usize) {
        let cells = &mut self.cells[id.0 as usize * self.slots..][..self.slots];
        if std::mem::take(&mut cells[slot]) != 0 && cells.iter().all(|&cell| cell == 0) {
            self.forget(id);
        }
    }

    fn forget(&mut self, KeyId(id): KeyId) {
        let key = std::mem::replace(&mut self.keys[id as usize], K::VACANT);
        let entry = self.ids.find_entry(self.hash.of(key.bytes()), |&other| other == id);
        entry.expect("a key that has an id is in the table").remove();
        self.free.push(id);
    }

    /// Gives the memory of a table without keys back. No id may be used after it.
    pub(super) fn release_if_empty(&mut self) {
        if self.ids.is_empty() {
            *self = Self { slots: self.slots, ..Self::new(self.hash) };
        }
    }

    /// Memory of the table.
    pub(super) fn heap_bytes(&self) -> usize {
        let keys = self.keys.capacity() * size_of::<K>() + self.keys.iter().map(K::heap_bytes).sum::<usize>();
        let numbers = (self.cells.capacity() + self.free.capacity()) * size_of::<u32>();
        keys + numbers + self.ids.allocation_size()
    }
}

impl<K> KeyTable<K> {
    /// The most that [`Self::heap_bytes`] can come to with up to `keys` keys at once, of up to `key_heap_bytes` on the heap each, in
    /// up to `windows` windows.
    pub(super) fn heap_bytes_max(keys: usize, key_heap_bytes: usize, windows: usize) -> usize {
        let slots = windows.next_power_of_two();
        let with_reserve = keys.saturating_add(keys / 4 + 1);
        let per_id = size_of::<K>().saturating_add(slots.saturating_mul(size_of::<u32>()));
        let of_ids = with_reserve.saturating_mul(per_id).saturating_add(keys.saturating_mul(key_heap_bytes));
        let of_free = grown_capacity(keys).saturating_mul(size_of::<u32>());
        of_ids.saturating_add(of_free).saturating_add(hash_table_bytes_max(keys))
    }
}

/// The most memory of a table of `u32` in which there are up to `entries` at once. It doubles when it is full, counting what was
/// removed, unless it is more than half free; so at the last time it had fewer than 16/7 places for each entry.
fn hash_table_bytes_max(entries: usize) -> usize {
    const ALIGNMENT_AND_GROUP: usize = 64;
    let places = entries.saturating_mul(32) / 7 + 8;
    let power_of_two = 1_usize << places.ilog2();
    power_of_two.saturating_mul(size_of::<u32>() + 1).saturating_add(ALIGNMENT_AND_GROUP)
}

/// Makes room by a quarter at a time: a table of many series must not stand half empty.
fn reserve<T>(list: &mut Vec<T>, more: usize) {
    if list.capacity() - list.len() < more {
        list.reserve_exact(more.max(list.len() / 4));
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use proptest::prelude::*;

    use super::*;
    use crate::owner::Owner;

    #[derive(Clone, Debug)]
    enum Step {
        Set { key: u8, slot: usize, number: u32 },
        Clear { key: u8, slot: usize },
        Widen,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (any::<u8>(), 0..SLOTS_MAX, 1_u32..10).prop_map(|(key, slot, number)| Step::Set { key, slot, number }),
            8 => (any::<u8>(), 0..SLOTS_MAX).prop_map(|(key, slot)| Step::Clear { key, slot }),
            1 => Just(Step::Widen),
        ]
    }

    const SLOTS_MAX: usize = 8;

    fn owner(key: u8) -> Owner {
        Owner([key; 16])
    }

    fn find(table: &KeyTable<Owner>, key: u8) -> Option<KeyId> {
        table.find(table.hash(&owner(key).0), &owner(key).0)
    }

    fn apply(table: &mut KeyTable<Owner>, step: &Step, model: &mut BTreeMap<(u8, usize), u32>) {
        match *step {
            Step::Set { key, slot, number } => {
                let slot = slot % table.slots();
                let hash = table.hash(&owner(key).0);
                let id = find(table, key).unwrap_or_else(|| table.insert(hash, owner(key)));
                *table.cell_mut(id, slot) = number;
                model.insert((key, slot), number);
            }
            Step::Clear { key, slot } => {
                let slot = slot % table.slots();
                if let Some(id) = find(table, key) {
                    table.clear(id, slot);
                }
                model.remove(&(key, slot));
            }
            Step::Widen if table.slots() < SLOTS_MAX => table.widen(),
            Step::Widen => {}
        }
    }

    fn check(table: &KeyTable<Owner>, model: &BTreeMap<(u8, usize), u32>) {
        for key in 0..=u8::MAX {
            let numbers = (0..table.slots()).map(|slot| model.get(&(key, slot)).copied().unwrap_or(0));
            match find(table, key) {
                Some(id) => {
                    assert_eq!(table.key(id), &owner(key));
                    assert!((0..table.slots()).map(|slot| table.cell(id, slot)).eq(numbers), "{key}");
                }
                None => assert_eq!(numbers.sum::<u32>(), 0, "{key}"),
            }
        }
    }

    /// Puts keys `from..through` into `slot`.
    fn fill(table: &mut KeyTable<Owner>, slot: usize, keys: std::ops::Range<u32>) {
        for key in keys {
            let owner = Owner(u128::from(key).to_be_bytes());
            let hash = table.hash(&owner.0);
            let id = table.find(hash, &owner.0).unwrap_or_else(|| table.insert(hash, owner));
            *table.cell_mut(id, slot) = 1;
        }
    }

    fn empty(table: &mut KeyTable<Owner>, slot: usize, keys: std::ops::Range<u32>) {
        for key in keys {
            let owner = u128::from(key).to_be_bytes();
            let id = table.find(table.hash(&owner), &owner).unwrap();
            table.clear(id, slot);
        }
    }

    /// Each part by itself: none may hide behind the room that another has.
    #[test]
    fn no_part_of_a_table_takes_more_than_is_told() {
        fn check(keys: u32, windows: usize) {
            let mut table = KeyTable::new(KeyedHash::new([7; 16]));
            while table.slots() < windows {
                table.widen();
            }
            fill(&mut table, windows - 1, 0..keys);
            empty(&mut table, windows - 1, 1..keys);
            let most = KeyTable::<Owner>::heap_bytes_max(keys as usize, 0, windows);
            let most_beside_hashes = most - hash_table_bytes_max(keys as usize);
            let beside_hashes = table.heap_bytes() - table.ids.allocation_size();
            assert!(beside_hashes <= most_beside_hashes, "{keys} keys, {windows} windows: {beside_hashes}");
        }
        (1..300).for_each(|keys| [1, 2, 3, 5].into_iter().for_each(|windows| check(keys, windows)));
    }

    /// A table that is kept nearly full doubles for what was removed.
    #[test]
    fn a_table_of_which_keys_come_and_go_takes_no_more_than_is_told() {
        fn check(keys: u32) {
            let mut table = KeyTable::new(KeyedHash::new([7; 16]));
            fill(&mut table, 0, 0..keys);
            for turn in 0..8 * keys {
                empty(&mut table, 0, turn..turn + 1);
                fill(&mut table, 0, turn + keys..turn + keys + 1);
                let bytes = table.ids.allocation_size();
                assert!(bytes <= hash_table_bytes_max(keys as usize + 1), "{keys} keys: {bytes}");
            }
        }
        [1, 2, 3, 7, 13, 27, 50, 100, 220, 440].into_iter().for_each(check);
    }

    proptest! {
        #[test]
        fn a_table_holds_what_was_put_into_it(
            secret: [u8; 16],
            steps in prop::collection::vec(step(), 0..1_500),
        ) {
            let mut table = KeyTable::new(KeyedHash::new(secret));
            let mut model = BTreeMap::new();
            steps.iter().for_each(|step| apply(&mut table, step, &mut model));
            check(&table, &model);
            let keys: std::collections::BTreeSet<u8> = model.keys().map(|&(key, _)| key).collect();
            prop_assert_eq!(table.ids.len(), keys.len());
            for &(key, slot) in model.keys() {
                let id = find(&table, key).unwrap();
                table.clear(id, slot);
                table.clear(id, slot);
            }
            table.release_if_empty();
            prop_assert_eq!((table.ids.len(), table.heap_bytes()), (0, 0));
        }
    }
}
