//! Spaces as plain Python data, and packed rows as NumPy arrays.
//!
//! The simulator's rows are runs of numbers, whatever the space; a Python user gets what Gymnasium's batched spaces hold:
//! one array for each box, choice or bit field, a leading axis for the rows. A [`Layout`] knows where in a row each of them
//! lies; it fills whole columns at once.

use agon_envs::spaces::{BoxSpace, Dtype};
use agon_envs::{ObsBuffer, Space};
use numpy::ndarray::{ArrayD, IxDyn};
use numpy::{Element, PyArray1, PyArrayDyn, PyArrayMethods};
use pyo3::prelude::*;
use pyo3::types::{PyDict, PyList, PyTuple};

use crate::error::AgonError;

/// A space as a tuple of its kind and what that kind's class in Gymnasium is made of; `agon/spaces.py` reads it.
pub(crate) fn describe<'py>(py: Python<'py>, space: &Space) -> PyResult<Bound<'py, PyAny>> {
    let described = match space {
        Space::Discrete { n, start } => (space.kind(), *n, *start).into_pyobject(py)?,
        Space::Box(bounds) => {
            let (low, high) = (bounds_of(py, bounds, bounds.low()), bounds_of(py, bounds, bounds.high()));
            (space.kind(), low?, high?).into_pyobject(py)?
        }
        Space::MultiDiscrete { nvec } => (space.kind(), nvec.clone()).into_pyobject(py)?,
        Space::MultiBinary { n } => (space.kind(), *n).into_pyobject(py)?,
        Space::Dict(spaces) => {
            let entries = PyList::empty(py);
            for (name, space) in spaces {
                entries.append((name, describe(py, space)?))?;
            }
            (space.kind(), entries).into_pyobject(py)?
        }
        Space::Tuple(spaces) => {
            let entries = PyList::empty(py);
            for space in spaces {
                entries.append(describe(py, space)?)?;
            }
            (space.kind(), entries).into_pyobject(py)?
        }
    };
    Ok(described.into_any())
}

/// One side's bounds of a box, in its shape and of its number type.
fn bounds_of<'py>(py: Python<'py>, space: &BoxSpace, bounds: &[f32]) -> PyResult<Bound<'py, PyAny>> {
    match space.dtype() {
        Dtype::F32 => array(py, bounds.to_vec(), space.shape()),
        Dtype::U8 => array(py, bounds.iter().map(|&bound| bound as u8).collect(), space.shape()),
    }
}

/// An array that owns `values`.
pub(crate) fn array<'py, T: Element>(
    py: Python<'py>,
    values: Vec<T>,
    shape: &[usize],
) -> PyResult<Bound<'py, PyAny>> {
    if shape.len() == 1 {
        return Ok(PyArray1::from_vec(py, values).into_any());
    }
    let array = ArrayD::from_shape_vec(IxDyn(shape), values)
        .map_err(|error| AgonError::new_err(format!("an array of shape {shape:?}: {error}")))?;
    Ok(PyArrayDyn::from_owned_array(py, array).into_any())
}

/// Where in a packed row the arrays of a space lie.
pub(crate) struct Layout {
    row_len: usize,
    leaves: Vec<Leaf>,
    tree: Tree,
}

/// One array: what a box, a choice, several choices or bits are in a batch.
struct Leaf {
    /// Its first number in the row.
    at: usize,
    /// How many there are.
    len: usize,
    kind: Kind,
    /// Of one row.
    shape: Vec<usize>,
}

#[derive(Clone, Copy)]
enum Kind {
    F32,
    U8,
    I64,
    I8,
}

/// How the arrays are put together.
enum Tree {
    Leaf(usize),
    Dict(Vec<(String, Tree)>),
    Tuple(Vec<Tree>),
}

/// An array's values over all rows.
pub(crate) enum Column {
    F32(Vec<f32>),
    U8(Vec<u8>),
    I64(Vec<i64>),
    I8(Vec<i8>),
}

impl Layout {
    /// The layout of a space's packed rows.
    pub(crate) fn of(space: &Space) -> Self {
        let mut layout = Self { row_len: 0, leaves: Vec::new(), tree: Tree::Tuple(Vec::new()) };
        layout.tree = layout.place(space);
        layout
    }

    fn place(&mut self, space: &Space) -> Tree {
        let kind = match space {
            Space::Dict(spaces) => {
                return Tree::Dict(
                    spaces.iter().map(|(name, space)| (name.clone(), self.place(space))).collect(),
                );
            }
            Space::Tuple(spaces) => {
                return Tree::Tuple(spaces.iter().map(|space| self.place(space)).collect());
            }
            Space::Box(bounds) if bounds.dtype() == Dtype::U8 => Kind::U8,
            Space::Box(_) => Kind::F32,
            Space::MultiBinary { .. } => Kind::I8,
            Space::Discrete { .. } | Space::MultiDiscrete { .. } => Kind::I64,
        };
        let (len, shape) = (space.packed_len(), space.shape().unwrap_or_default());
        self.leaves.push(Leaf { at: self.row_len, len, kind, shape });
        self.row_len += len;
        Tree::Leaf(self.leaves.len() - 1)
    }

    /// Whether a value is one array, of at least one dimension.
    pub(crate) fn is_one_array(&self) -> bool {
        matches!(self.tree, Tree::Leaf(leaf) if !self.leaves[leaf].shape.is_empty())
    }

    /// A column for each array, without rows and with room for some.
    pub(crate) fn columns(&self, rows: usize) -> Vec<Column> {
        let column = |leaf: &Leaf| match leaf.kind {
            Kind::F32 => Column::F32(Vec::with_capacity(rows * leaf.len)),
            Kind::U8 => Column::U8(Vec::with_capacity(rows * leaf.len)),
            Kind::I64 => Column::I64(Vec::with_capacity(rows * leaf.len)),
            Kind::I8 => Column::I8(Vec::with_capacity(rows * leaf.len)),
        };
        self.leaves.iter().map(column).collect()
    }

    /// Appends packed rows to the columns.
    pub(crate) fn append(&self, rows: &ObsBuffer, columns: &mut [Column]) {
        for (leaf, column) in self.leaves.iter().zip(columns) {
            match (rows, column) {
                (ObsBuffer::U8(rows), Column::U8(column)) => column.extend_from_slice(rows),
                (ObsBuffer::F32(rows), Column::F32(column)) if leaf.len == self.row_len => {
                    column.extend_from_slice(rows);
                }
                (ObsBuffer::F32(rows), Column::F32(column)) => self.spread(leaf, rows, column, |x| x),
                (ObsBuffer::F32(rows), Column::U8(column)) => self.spread(leaf, rows, column, low_byte),
                (ObsBuffer::F32(rows), Column::I64(column)) => self.spread(leaf, rows, column, |x| x as i64),
                (ObsBuffer::F32(rows), Column::I8(column)) => {
                    self.spread(leaf, rows, column, |x| low_byte(x) as i8);
                }
                (ObsBuffer::U8(_), _) => debug_assert!(false, "only a box of bytes has rows of bytes"),
            }
        }
    }

    fn spread<T>(&self, leaf: &Leaf, rows: &[f32], column: &mut Vec<T>, convert: impl Fn(f32) -> T) {
        if self.row_len == 1 {
            column.extend(rows.iter().map(|&number| convert(number)));
            return;
        }
        for row in rows.chunks_exact(self.row_len) {
            column.extend(row[leaf.at..leaf.at + leaf.len].iter().map(|&number| convert(number)));
        }
    }

    /// Fresh arrays that own the columns, one a leaf.
    pub(crate) fn arrays<'py>(
        &self,
        py: Python<'py>,
        rows: usize,
        columns: Vec<Column>,
    ) -> PyResult<Vec<Bound<'py, PyAny>>> {
        let mut shape = Vec::new();
        let leaves = self.leaves.iter().zip(columns);
        leaves
            .map(|(leaf, column)| {
                shape.clear();
                shape.push(rows);
                shape.extend_from_slice(&leaf.shape);
                match column {
                    Column::F32(values) => array(py, values, &shape),
                    Column::U8(values) => array(py, values, &shape),
                    Column::I64(values) => array(py, values, &shape),
                    Column::I8(values) => array(py, values, &shape),
                }
            })
            .collect()
    }

    /// The arrays in the structure of the space: one array, a dictionary or a tuple.
    pub(crate) fn structure<'py>(
        &self,
        py: Python<'py>,
        arrays: &[Bound<'py, PyAny>],
    ) -> PyResult<Bound<'py, PyAny>> {
        build(py, &self.tree, arrays)
    }
}

fn build<'py>(py: Python<'py>, tree: &Tree, arrays: &[Bound<'py, PyAny>]) -> PyResult<Bound<'py, PyAny>> {
    match tree {
        Tree::Leaf(index) => Ok(arrays[*index].clone()),
        Tree::Dict(entries) => {
            let dict = PyDict::new(py);
            for (name, tree) in entries {
                dict.set_item(name, build(py, tree, arrays)?)?;
            }
            Ok(dict.into_any())
        }
        Tree::Tuple(entries) => {
            let entries: PyResult<Vec<_>> = entries.iter().map(|tree| build(py, tree, arrays)).collect();
            Ok(PyTuple::new(py, entries?)?.into_any())
        }
    }
}

impl Layout {
    /// One of the rows that columns hold, in the types that a single environment gives.
    pub(crate) fn row<'py>(
        &self,
        py: Python<'py>,
        columns: &[Column],
        index: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        self.row_of(py, &self.tree, columns, index)
    }

    fn row_of<'py>(
        &self,
        py: Python<'py>,
        tree: &Tree,
        columns: &[Column],
        index: usize,
    ) -> PyResult<Bound<'py, PyAny>> {
        match tree {
            Tree::Leaf(leaf) => {
                let (leaf, column) = (&self.leaves[*leaf], &columns[*leaf]);
                let range = index * leaf.len..(index + 1) * leaf.len;
                match column {
                    Column::F32(values) => array_of(py, &values[range], &leaf.shape),
                    Column::U8(values) => array_of(py, &values[range], &leaf.shape),
                    // A discrete value is a number and no array.
                    Column::I64(values) if leaf.shape.is_empty() => {
                        Ok(values[range.start].into_pyobject(py)?.into_any())
                    }
                    Column::I64(values) => array_of(py, &values[range], &leaf.shape),
                    Column::I8(values) => array_of(py, &values[range], &leaf.shape),
                }
            }
            Tree::Dict(entries) => {
                let dict = PyDict::new(py);
                for (name, tree) in entries {
                    dict.set_item(name, self.row_of(py, tree, columns, index)?)?;
                }
                Ok(dict.into_any())
            }
            Tree::Tuple(entries) => {
                let entries: PyResult<Vec<_>> =
                    entries.iter().map(|tree| self.row_of(py, tree, columns, index)).collect();
                Ok(PyTuple::new(py, entries?)?.into_any())
            }
        }
    }
}

/// A whole number from 0 to 255 as a byte. The sum's lowest bits are the number's, and vector instructions do the rest, which
/// a saturating conversion is not given to.
fn low_byte(number: f32) -> u8 {
    (number + 8_388_608.0).to_bits() as u8
}

/// A small array of its own memory.
fn array_of<'py, T: Element + Copy>(
    py: Python<'py>,
    values: &[T],
    shape: &[usize],
) -> PyResult<Bound<'py, PyAny>> {
    if shape.len() == 1 {
        Ok(PyArray1::from_slice(py, values).into_any())
    } else {
        array(py, values.to_vec(), shape)
    }
}

impl Column {
    /// Writes the values into an array made by [`Layout::arrays`], whose memory a user may look at.
    pub(crate) fn write_to(&self, array: &Bound<'_, PyAny>) -> PyResult<()> {
        match self {
            Self::F32(values) => write(array, values),
            Self::U8(values) => write(array, values),
            Self::I64(values) => write(array, values),
            Self::I8(values) => write(array, values),
        }
    }
}

fn write<T: Element + Copy>(array: &Bound<'_, PyAny>, values: &[T]) -> PyResult<()> {
    let array = array.cast::<PyArrayDyn<T>>()?;
    let mut array = array
        .try_readwrite()
        .map_err(|error| AgonError::new_err(format!("the observations of the last step: {error}")))?;
    array.as_slice_mut()?.copy_from_slice(values);
    Ok(())
}
