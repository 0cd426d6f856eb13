//! The items that one poll lends.

use super::page::{Page, PageItems};
use super::record::Item;

/// Items in offset order per partition. Records borrow from the reader's memory until it is polled again.
pub struct Batch<'a>(BatchItems<'a>);

enum BatchItems<'a> {
    Page(PageItems<'a>),
    Other(Box<dyn Iterator<Item = Item<'a>> + 'a>),
}

impl<'a> Batch<'a> {
    /// Lends items that lie in the memory of a client library.
    pub fn new(items: impl Iterator<Item = Item<'a>> + 'a) -> Self {
        Self(BatchItems::Other(Box::new(items)))
    }
}

/// Lends the items of a page.
impl<'a> From<&'a Page> for Batch<'a> {
    fn from(page: &'a Page) -> Self {
        Self(BatchItems::Page(page.items()))
    }
}

impl<'a> Iterator for Batch<'a> {
    type Item = Item<'a>;

    fn next(&mut self) -> Option<Item<'a>> {
        match &mut self.0 {
            BatchItems::Page(items) => items.next(),
            BatchItems::Other(items) => items.next(),
        }
    }
}
