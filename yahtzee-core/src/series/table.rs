//! A table of keys that each have a number per open window.

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

/// 32 good bits of a key's hash, which both find its bucket and tell most other keys in it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Fingerprint(u32);

/// One key of the table, in an open-addressed array.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    fingerprint: Fingerprint,
    id: u32,
}

const VACANT: Bucket = Bucket { fingerprint: Fingerprint(0), id: u32::MAX };
const BUCKETS_MIN: usize = 8;

/// Keys with a number per window slot; 0 means none, and a key that has only zeros is forgotten.
///
/// A key is stored once and found with one probe, however many windows it is in. Linear probing, at most three
/// quarters full, removal by moving the followers up, so that no tombstones gather.
#[derive(Debug)]
pub(super) struct KeyTable<K> {
    hash: KeyedHash,
    /// A power of two of them, or none at all.
    buckets: Vec<Bucket>,
    keys: Vec<K>,
    /// `slots` cells per id, one for each window slot.
    cells: Vec<u32>,
    slots: usize,
    /// Ids whose keys are forgotten.
    free: Vec<u32>,
}

impl<K: TableKey> KeyTable<K> {
    pub(super) fn new(hash: KeyedHash) -> Self {
        Self { hash, buckets: Vec::new(), keys: Vec::new(), cells: Vec::new(), slots: 1, free: Vec::new() }
    }

    /// Keys in the table.
    fn len(&self) -> usize {
        self.keys.len() - self.free.len()
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

    pub(super) fn fingerprint(&self, key: &[u8]) -> Fingerprint {
        Fingerprint((self.hash.of(key) >> 32) as u32)
    }

    /// The id of a key with this fingerprint.
    pub(super) fn find(&self, fingerprint: Fingerprint, key: &[u8]) -> Option<KeyId> {
        if self.buckets.is_empty() {
            return None;
        }
        let mut at = self.home(fingerprint);
        loop {
            let bucket = self.buckets[at];
            if bucket.id == VACANT.id {
                return None;
            }
            if bucket.fingerprint == fingerprint && self.keys[bucket.id as usize].bytes() == key {
                return Some(KeyId(bucket.id));
            }
            at = self.after(at);
        }
    }

    /// Gives an id to a key that has none.
    pub(super) fn insert(&mut self, fingerprint: Fingerprint, key: K) -> KeyId {
        if (self.len() + 1) * 4 > self.buckets.len() * 3 {
            self.grow();
        }
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
        self.put(Bucket { fingerprint, id });
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

    fn forget(&mut self, id: KeyId) {
        let fingerprint = self.fingerprint(self.key(id).bytes());
        self.remove(Bucket { fingerprint, id: id.0 });
        self.keys[id.0 as usize] = K::VACANT;
        self.free.push(id.0);
    }

    /// Gives the memory of a table without keys back. No id may be used after it.
    pub(super) fn release_if_empty(&mut self) {
        if self.len() == 0 {
            *self = Self { slots: self.slots, ..Self::new(self.hash) };
        }
    }

    /// Memory of the table.
    pub(super) fn heap_bytes(&self) -> usize {
        let keys = self.keys.capacity() * size_of::<K>() + self.keys.iter().map(K::heap_bytes).sum::<usize>();
        let numbers = (self.cells.capacity() + self.free.capacity()) * size_of::<u32>();
        keys + numbers + self.buckets.capacity() * size_of::<Bucket>()
    }

    fn home(&self, fingerprint: Fingerprint) -> usize {
        fingerprint.0 as usize & (self.buckets.len() - 1)
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.buckets.len() - 1)
    }

    fn put(&mut self, bucket: Bucket) {
        let mut at = self.home(bucket.fingerprint);
        while self.buckets[at].id != VACANT.id {
            at = self.after(at);
        }
        self.buckets[at] = bucket;
    }

    /// Takes a bucket out and moves up those behind it that were displaced by it.
    fn remove(&mut self, bucket: Bucket) {
        let mask = self.buckets.len() - 1;
        let mut hole = self.home(bucket.fingerprint);
        while self.buckets[hole].id != bucket.id {
            hole = self.after(hole);
        }
        let mut at = self.after(hole);
        while self.buckets[at].id != VACANT.id {
            let displaced = at.wrapping_sub(self.home(self.buckets[at].fingerprint)) & mask;
            if displaced >= at.wrapping_sub(hole) & mask {
                self.buckets[hole] = self.buckets[at];
                hole = at;
            }
            at = self.after(at);
        }
        self.buckets[hole] = VACANT;
    }

    #[cold]
    fn grow(&mut self) {
        let count = (self.buckets.len() * 2).max(BUCKETS_MIN);
        let before = std::mem::replace(&mut self.buckets, vec![VACANT; count]);
        before.into_iter().filter(|bucket| bucket.id != VACANT.id).for_each(|bucket| self.put(bucket));
    }
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
        table.find(table.fingerprint(&owner(key).0), &owner(key).0)
    }

    fn apply(table: &mut KeyTable<Owner>, step: &Step, model: &mut BTreeMap<(u8, usize), u32>) {
        match *step {
            Step::Set { key, slot, number } => {
                let slot = slot % table.slots();
                let fingerprint = table.fingerprint(&owner(key).0);
                let id = find(table, key).unwrap_or_else(|| table.insert(fingerprint, owner(key)));
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
            prop_assert_eq!(table.len(), keys.len());
            for &(key, slot) in model.keys() {
                let id = find(&table, key).unwrap();
                table.clear(id, slot);
                table.clear(id, slot);
            }
            table.release_if_empty();
            prop_assert_eq!((table.len(), table.buckets.capacity(), table.cells.capacity()), (0, 0, 0));
        }
    }
}
