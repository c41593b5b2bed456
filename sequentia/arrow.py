"""Names as Arrow columns, straight from their ids; pyarrow comes with the extra ``[arrow]``."""

from collections.abc import Iterable
from typing import BinaryIO

import numpy as np
from numpy.typing import NDArray

from .errors import MissingExtraError
from .generation import Names
from .vocabulary import Vocabulary

try:
    import pyarrow as pa
    from pyarrow import parquet
except ModuleNotFoundError as error:
    raise MissingExtraError(
        "Arrow and Parquet need the package 'pyarrow': install sequentia with its extra, sequentia[arrow]",
        extra="arrow",
    ) from error


def column(batches: Iterable[Names], vocabulary: Vocabulary) -> pa.ChunkedArray:
    """Return batches of names as one column of strings, a chunk for each batch."""
    return pa.chunked_array([strings(names, vocabulary) for names in batches], type=pa.string())


def strings(names: Names, vocabulary: Vocabulary) -> pa.StringArray:
    """Return a batch of names as strings: their UTF-8 bytes in one buffer, and where each of them ends."""
    text, lengths = vocabulary.to_utf8(names)
    offsets = np.zeros(len(names) + 1, dtype=np.int32)
    np.cumsum(lengths, out=offsets[1:])
    return pa.StringArray.from_buffers(len(names), pa.py_buffer(offsets), pa.py_buffer(text))


class ParquetTable:
    """A Parquet file in the making, with a row group for each batch of names.

    Args:
        file: where to write it.
        columns: the name of the column of names, and perhaps that of their scores.
    """

    def __init__(self, file: BinaryIO, columns: list[str]) -> None:
        types = (pa.string(), pa.float64())
        self._schema = pa.schema([pa.field(name, kind, False) for name, kind in zip(columns, types, strict=False)])
        self._writer = parquet.ParquetWriter(file, self._schema)

    def write(self, names: Names, vocabulary: Vocabulary, scores: NDArray[np.float64] | None) -> None:
        """Write a batch of names, and their scores, float64 [names], if there is a column for them."""
        columns = [strings(names, vocabulary), *([] if scores is None else [pa.array(scores)])]
        self._writer.write_batch(pa.record_batch(columns, schema=self._schema))

    def close(self) -> None:
        """Write what stands behind the last row group."""
        self._writer.close()
