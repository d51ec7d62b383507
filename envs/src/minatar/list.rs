//! A short list in a fixed place: what lives in a game in the order in which it appeared.

use std::ops::{Deref, DerefMut};

use serde::{Deserialize, Serialize, de::DeserializeOwned};

/// Up to `N` items in insertion order, without memory of its own on the heap: a game stays one run of bytes.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[serde(into = "Vec<T>", try_from = "Vec<T>", bound = "T: Copy + Default + Serialize + DeserializeOwned")]
pub(super) struct List<T, const N: usize> {
    items: [T; N],
    len: u8,
}

impl<T: Copy + Default, const N: usize> List<T, N> {
    /// Appends an item.
    ///
    /// # Panics
    /// If the list is full: `N` is the most that the rules allow.
    #[inline]
    pub(super) fn push(&mut self, item: T) {
        self.items[usize::from(self.len)] = item;
        self.len += 1;
    }

    /// Takes an item out; the others keep their order.
    #[inline]
    pub(super) fn remove(&mut self, index: usize) {
        self.items.copy_within(index + 1..usize::from(self.len), index);
        self.len -= 1;
    }

    /// Takes all items out.
    #[inline]
    pub(super) fn clear(&mut self) {
        self.len = 0;
    }

    /// Takes out the oldest item that `is` holds for; says whether there was one.
    #[inline]
    pub(super) fn remove_oldest(&mut self, is: impl FnMut(&T) -> bool) -> bool {
        let found = self.iter().position(is);
        if let Some(index) = found {
            self.remove(index);
        }
        found.is_some()
    }

    /// Visits the items, the newest first, and takes out those for which `stays` is false.
    #[inline]
    pub(super) fn retain_newest_first(&mut self, mut stays: impl FnMut(&mut T) -> bool) {
        for index in (0..usize::from(self.len)).rev() {
            if !stays(&mut self.items[index]) {
                self.remove(index);
            }
        }
    }
}

impl<T: Copy + Default, const N: usize> Default for List<T, N> {
    fn default() -> Self {
        Self { items: [T::default(); N], len: 0 }
    }
}

impl<T, const N: usize> Deref for List<T, N> {
    type Target = [T];

    #[inline]
    fn deref(&self) -> &[T] {
        &self.items[..usize::from(self.len)]
    }
}

impl<T, const N: usize> DerefMut for List<T, N> {
    #[inline]
    fn deref_mut(&mut self) -> &mut [T] {
        &mut self.items[..usize::from(self.len)]
    }
}

impl<T: PartialEq, const N: usize> PartialEq for List<T, N> {
    fn eq(&self, other: &Self) -> bool {
        **self == **other
    }
}

impl<T: std::fmt::Debug, const N: usize> std::fmt::Debug for List<T, N> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_list().entries(self.iter()).finish()
    }
}

impl<T: Clone, const N: usize> From<List<T, N>> for Vec<T> {
    fn from(list: List<T, N>) -> Self {
        list.to_vec()
    }
}

/// A saved list is longer than the rules allow.
#[derive(Debug, thiserror::Error)]
#[error("expected at most {most} items, got {found}")]
pub(super) struct TooLong {
    most: usize,
    found: usize,
}

impl<T: Copy + Default, const N: usize> TryFrom<Vec<T>> for List<T, N> {
    type Error = TooLong;

    fn try_from(items: Vec<T>) -> Result<Self, TooLong> {
        if items.len() > N {
            return Err(TooLong { most: N, found: items.len() });
        }
        let mut list = Self::default();
        items.into_iter().for_each(|item| list.push(item));
        Ok(list)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn items_leave_in_any_order_and_the_others_keep_theirs() {
        let mut list: List<u8, 5> = vec![1, 2, 3, 4, 5].try_into().unwrap();
        let mut seen = Vec::new();
        list.retain_newest_first(|item| {
            seen.push(*item);
            *item *= 10;
            *item != 20 && *item != 50
        });
        assert_eq!((seen, &*list), (vec![5, 4, 3, 2, 1], &[10, 30, 40][..]));
        assert!(list.remove_oldest(|&item| item > 10) && !list.remove_oldest(|&item| item > 40));
        assert_eq!(&*list, &[10, 40]);
        list.push(7);
        assert_eq!(Vec::from(list), [10, 40, 7]);
    }

    #[test]
    fn saved_lists_that_are_too_long_are_refused() {
        let error = List::<u8, 2>::try_from(vec![1, 2, 3]).unwrap_err();
        assert_eq!(error.to_string(), "expected at most 2 items, got 3");
    }
}
