"""Tables of numbers by column, as NumPy arrays."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np


class Columns(dict[str, np.ndarray]):
    """Columns of a table by name, each an array of as many numbers; what there was not is NaN."""

    @property
    def num_rows(self) -> int:
        """Rows of the table."""
        return len(next(iter(self.values()), ()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.num_rows} rows of {', '.join(self) or 'nothing'})"

    def to_pandas(self) -> Any:
        """The table as a pandas ``DataFrame``."""
        import pandas

        return pandas.DataFrame(dict(self))

    def to_polars(self) -> Any:
        """The table as a polars ``DataFrame``."""
        import polars

        return polars.DataFrame(dict(self))

    def frame(self) -> Any:
        """The table as a data frame: of pandas, else of polars, whichever is installed."""
        try:
            return self.to_pandas()
        except ImportError:
            pass
        try:
            return self.to_polars()
        except ImportError:
            raise ImportError("a data frame needs pandas or polars; the columns themselves are NumPy arrays") from None

    def _repr_html_(self) -> str | None:
        try:
            return self.frame()._repr_html_()
        except ImportError:
            return None

    @staticmethod
    def joined(tables: Mapping[int, Columns], by: str) -> Columns:
        """Tables one after the other, with a column that says which one a row is of. Columns that a table lacks are NaN."""
        names = list(dict.fromkeys(name for table in tables.values() for name in table))
        whole = Columns({by: np.concatenate([np.full(table.num_rows, key) for key, table in tables.items()])})
        for name in names:
            parts = [table.get(name, np.full(table.num_rows, np.nan)) for table in tables.values()]
            whole[name] = np.concatenate(parts)
        return whole
