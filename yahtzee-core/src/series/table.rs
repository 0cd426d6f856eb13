//! A table of keys that each have a number per open window.

use super::keyed_hash::KeyedHash;

/// What a table finds its rows by.
pub(super) trait RowKey: Sized {
    /// What stands in a row without a key.
    const VACANT: Self;

    /// The bytes that make the key; equal bytes are the same key.
    fn bytes(&self) -> &[u8];

    /// Bytes of it that stand on the heap.
    fn heap_bytes(&self) -> usize {
        0
    }
}

/// The place of a key in its table, valid while it has a number in some lane.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Row(u32);

impl Row {
    pub(super) const FIRST: Self = Self(0);
}

/// 32 good bits of a key's hash, which both find its bucket and tell most other keys in it apart.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Tag(u32);

/// One key of the table, in an open-addressed array.
#[derive(Clone, Copy, Debug)]
struct Bucket {
    tag: Tag,
    row: u32,
}

const VACANT: Bucket = Bucket { tag: Tag(0), row: u32::MAX };
const BUCKETS_MIN: usize = 8;

/// Keys with a row of cells, one cell in each lane; 0 stands for none, and a key that has only zeros is forgotten.
///
/// A key is stored once and found with one probe, however many windows it is in. Linear probing, at most three
/// quarters full, removal by moving the followers up, so that no tombstones gather.
#[derive(Debug)]
pub(super) struct Rows<K> {
    hash: KeyedHash,
    /// A power of two of them, or none at all.
    buckets: Vec<Bucket>,
    keys: Vec<K>,
    /// `lanes` cells per row.
    cells: Vec<u32>,
    lanes: usize,
    /// Rows whose keys are forgotten.
    free: Vec<u32>,
}

impl<K: RowKey> Rows<K> {
    pub(super) fn new(hash: KeyedHash) -> Self {
        Self { hash, buckets: Vec::new(), keys: Vec::new(), cells: Vec::new(), lanes: 1, free: Vec::new() }
    }

    /// Keys in the table.
    fn len(&self) -> usize {
        self.keys.len() - self.free.len()
    }

    pub(super) fn lanes(&self) -> usize {
        self.lanes
    }

    /// Doubles the number of lanes; the new ones are empty.
    pub(super) fn widen(&mut self) {
        let mut cells = Vec::with_capacity(self.cells.len() * 2);
        for row in self.cells.chunks_exact(self.lanes) {
            cells.extend_from_slice(row);
            cells.extend(std::iter::repeat_n(0, self.lanes));
        }
        self.cells = cells;
        self.lanes *= 2;
    }

    pub(super) fn tag(&self, key: &[u8]) -> Tag {
        Tag((self.hash.of(key) >> 32) as u32)
    }

    /// The row of a key with this tag.
    pub(super) fn find(&self, tag: Tag, key: &[u8]) -> Option<Row> {
        if self.buckets.is_empty() {
            return None;
        }
        let mut at = self.home(tag);
        loop {
            let bucket = self.buckets[at];
            if bucket.row == VACANT.row {
                return None;
            }
            if bucket.tag == tag && self.keys[bucket.row as usize].bytes() == key {
                return Some(Row(bucket.row));
            }
            at = self.after(at);
        }
    }

    /// Gives a row to a key that has none.
    pub(super) fn insert(&mut self, tag: Tag, key: K) -> Row {
        if (self.len() + 1) * 4 > self.buckets.len() * 3 {
            self.grow();
        }
        let row = match self.free.pop() {
            Some(row) => {
                self.keys[row as usize] = key;
                row
            }
            None => {
                let row = u32::try_from(self.keys.len()).expect("fewer than 2^32 series fit in memory");
                reserve(&mut self.keys, 1);
                self.keys.push(key);
                reserve(&mut self.cells, self.lanes);
                self.cells.resize(self.cells.len() + self.lanes, 0);
                row
            }
        };
        self.place(Bucket { tag, row });
        Row(row)
    }

    pub(super) fn key(&self, row: Row) -> &K {
        &self.keys[row.0 as usize]
    }

    pub(super) fn cell(&self, row: Row, lane: usize) -> u32 {
        self.cells[row.0 as usize * self.lanes + lane]
    }

    pub(super) fn cell_mut(&mut self, row: Row, lane: usize) -> &mut u32 {
        &mut self.cells[row.0 as usize * self.lanes + lane]
    }

    /// Empties a cell, and forgets a key that this leaves nowhere. A cell that is empty already may be emptied again.
    pub(super) fn clear(&mut self, row: Row, lane: usize) {
        let cells = &mut self.cells[row.0 as usize * self.lanes..][..self.lanes];
        if std::mem::take(&mut cells[lane]) != 0 && cells.iter().all(|&cell| cell == 0) {
            self.forget(row);
        }
    }

    fn forget(&mut self, row: Row) {
        let tag = self.tag(self.key(row).bytes());
        self.remove(Bucket { tag, row: row.0 });
        self.keys[row.0 as usize] = K::VACANT;
        self.free.push(row.0);
    }

    /// Gives the memory of a table without keys back. No row may be used after it.
    pub(super) fn release_if_empty(&mut self) {
        if self.len() == 0 {
            *self = Self { lanes: self.lanes, ..Self::new(self.hash) };
        }
    }

    /// Memory of the table.
    pub(super) fn heap_bytes(&self) -> usize {
        let keys = self.keys.capacity() * size_of::<K>() + self.keys.iter().map(K::heap_bytes).sum::<usize>();
        let numbers = (self.cells.capacity() + self.free.capacity()) * size_of::<u32>();
        keys + numbers + self.buckets.capacity() * size_of::<Bucket>()
    }

    fn home(&self, tag: Tag) -> usize {
        tag.0 as usize & (self.buckets.len() - 1)
    }

    fn after(&self, at: usize) -> usize {
        (at + 1) & (self.buckets.len() - 1)
    }

    fn place(&mut self, bucket: Bucket) {
        let mut at = self.home(bucket.tag);
        while self.buckets[at].row != VACANT.row {
            at = self.after(at);
        }
        self.buckets[at] = bucket;
    }

    /// Takes a bucket out and moves up those behind it that were displaced by it.
    fn remove(&mut self, bucket: Bucket) {
        let mask = self.buckets.len() - 1;
        let mut hole = self.home(bucket.tag);
        while self.buckets[hole].row != bucket.row {
            hole = self.after(hole);
        }
        let mut at = self.after(hole);
        while self.buckets[at].row != VACANT.row {
            let displaced = at.wrapping_sub(self.home(self.buckets[at].tag)) & mask;
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
        before.into_iter().filter(|bucket| bucket.row != VACANT.row).for_each(|bucket| self.place(bucket));
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
        Set { key: u8, lane: usize, number: u32 },
        Clear { key: u8, lane: usize },
        Widen,
    }

    fn step() -> impl Strategy<Value = Step> {
        prop_oneof![
            8 => (any::<u8>(), 0..LANES_MAX, 1_u32..10).prop_map(|(key, lane, number)| Step::Set { key, lane, number }),
            8 => (any::<u8>(), 0..LANES_MAX).prop_map(|(key, lane)| Step::Clear { key, lane }),
            1 => Just(Step::Widen),
        ]
    }

    const LANES_MAX: usize = 8;

    fn owner(key: u8) -> Owner {
        Owner([key; 16])
    }

    fn find(rows: &Rows<Owner>, key: u8) -> Option<Row> {
        rows.find(rows.tag(&owner(key).0), &owner(key).0)
    }

    fn apply(rows: &mut Rows<Owner>, step: &Step, model: &mut BTreeMap<(u8, usize), u32>) {
        match *step {
            Step::Set { key, lane, number } => {
                let lane = lane % rows.lanes();
                let tag = rows.tag(&owner(key).0);
                let row = find(rows, key).unwrap_or_else(|| rows.insert(tag, owner(key)));
                *rows.cell_mut(row, lane) = number;
                model.insert((key, lane), number);
            }
            Step::Clear { key, lane } => {
                let lane = lane % rows.lanes();
                if let Some(row) = find(rows, key) {
                    rows.clear(row, lane);
                }
                model.remove(&(key, lane));
            }
            Step::Widen if rows.lanes() < LANES_MAX => rows.widen(),
            Step::Widen => {}
        }
    }

    fn check(rows: &Rows<Owner>, model: &BTreeMap<(u8, usize), u32>) {
        for key in 0..=u8::MAX {
            let numbers = (0..rows.lanes()).map(|lane| model.get(&(key, lane)).copied().unwrap_or(0));
            match find(rows, key) {
                Some(row) => {
                    assert_eq!(rows.key(row), &owner(key));
                    assert!((0..rows.lanes()).map(|lane| rows.cell(row, lane)).eq(numbers), "{key}");
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
            let mut rows = Rows::new(KeyedHash::new(secret));
            let mut model = BTreeMap::new();
            steps.iter().for_each(|step| apply(&mut rows, step, &mut model));
            check(&rows, &model);
            let keys: std::collections::BTreeSet<u8> = model.keys().map(|&(key, _)| key).collect();
            prop_assert_eq!(rows.len(), keys.len());
            for &(key, lane) in model.keys() {
                let row = find(&rows, key).unwrap();
                rows.clear(row, lane);
                rows.clear(row, lane);
            }
            rows.release_if_empty();
            prop_assert_eq!((rows.len(), rows.buckets.capacity(), rows.cells.capacity()), (0, 0, 0));
        }
    }
}
