//! A batch of records in one arena: filled once, lent as often as asked, emptied without freeing.

use yahtzee_core::owner::Partition;
use yahtzee_core::record::{LogRecord, Offset};

use super::header::Headers;
use super::record::Item;

/// Records copied into one buffer. Reused between polls, so that a poll allocates only while it grows.
#[derive(Debug, Default)]
pub struct Page {
    bytes: Vec<u8>,
    entries: Vec<PageEntry>,
}

#[derive(Debug)]
enum PageEntry {
    Record {
        partition: Partition,
        offset: Offset,
        timestamp_ms: i64,
        start: usize,
        key_end: usize,
        value_end: usize,
        end: usize,
    },
    End(Partition, Offset),
}

impl Page {
    /// Forgets all items and keeps the memory.
    pub fn clear(&mut self) {
        self.bytes.clear();
        self.entries.clear();
    }

    /// Copies a record and its headers to the end of the page.
    pub fn push_record(&mut self, partition: Partition, record: LogRecord<'_>, headers: Headers<'_>) {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(record.key);
        let key_end = self.bytes.len();
        self.bytes.extend_from_slice(record.value);
        let value_end = self.bytes.len();
        headers.copy_to(&mut self.bytes);
        let end = self.bytes.len();
        let LogRecord { offset, timestamp_ms, .. } = record;
        self.entries.push(PageEntry::Record {
            partition,
            offset,
            timestamp_ms,
            start,
            key_end,
            value_end,
            end,
        });
    }

    /// Notes that everything below `next` of `partition` was delivered.
    pub fn push_end(&mut self, partition: Partition, next: Offset) {
        self.entries.push(PageEntry::End(partition, next));
    }

    /// Returns the number of items.
    #[must_use]
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Returns whether there is no item.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// Lends the records alone.
    pub fn records(&self) -> impl Iterator<Item = LogRecord<'_>> {
        self.items().filter_map(|item| match item {
            Item::Record(_, record, _) => Some(record),
            Item::End(..) => None,
        })
    }

    /// Lends the items in the order they were pushed.
    #[must_use]
    pub fn items(&self) -> PageItems<'_> {
        PageItems { bytes: &self.bytes, entries: self.entries.iter() }
    }
}

/// Iterator over the items of a [`Page`].
#[derive(Debug)]
pub struct PageItems<'a> {
    bytes: &'a [u8],
    entries: std::slice::Iter<'a, PageEntry>,
}

impl<'a> Iterator for PageItems<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        Some(match *self.entries.next()? {
            PageEntry::Record { partition, offset, timestamp_ms, start, key_end, value_end, end } => {
                let (key, value) = (&self.bytes[start..key_end], &self.bytes[key_end..value_end]);
                let headers = Headers::in_arena(&self.bytes[value_end..end]);
                Item::Record(partition, LogRecord { offset, timestamp_ms, key, value }, headers)
            }
            PageEntry::End(partition, next) => Item::End(partition, next),
        })
    }
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use super::super::header::{Header, encoded};
    use super::*;

    #[test]
    fn lends_what_was_pushed_in_order() {
        let mut page = Page::default();
        for offset in 0..3 {
            let value = vec![b'v'; offset as usize];
            let record = LogRecord { offset: Offset(offset), timestamp_ms: -1, key: b"key", value: &value };
            page.push_record(Partition(7), record, Headers::default());
        }
        page.push_end(Partition(7), Offset(3));
        let seen: Vec<String> = page.items().map(|item| format!("{item:?}")).collect();
        assert_eq!(seen.len(), 4);
        assert!(seen[2].contains("[118, 118]"), "{}", seen[2]);
        page.clear();
        assert!(page.is_empty() && page.items().next().is_none());
    }

    #[test]
    fn keeps_each_records_headers() {
        let named = |names: &[&'static str]| -> Vec<Header> {
            let header = |&name| Header { name: Cow::Borrowed(name), value: vec![0xff; name.len()] };
            names.iter().map(header).collect()
        };
        let kept = [named(&[]), named(&["attempt", "", "attempt"]), named(&[]), named(&["cause"])];
        let mut page = Page::default();
        for (offset, headers) in (0..).zip(&kept) {
            let record = LogRecord { offset: Offset(offset), timestamp_ms: 5, key: b"key", value: b"value" };
            page.push_record(Partition(7), record, Headers::in_arena(&encoded(headers)));
        }
        for (item, headers) in page.items().zip(&kept) {
            let Item::Record(_, record, found) = item else { panic!("{item:?}") };
            assert_eq!((record.key, record.value), (&b"key"[..], &b"value"[..]));
            let wanted = headers.iter().map(|header| (&*header.name, header.value.as_slice()));
            assert!(found.iter().eq(wanted), "{found:?}");
        }
        assert_eq!(page.records().count(), 4);
    }
}
