"""The words of columns that hold few: each text with its value on the wire, as the certain way found it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from include.ingest.cast import cast_column
from include.ingest.dataset.definition import Dataset
from include.ingest.express import kernel
from include.ingest.table.binary_copy import encode_column


class Words:
    """Learned words by column. A text that is rejected is never learned."""

    def __init__(self, dataset: Dataset, columns: Sequence[str]) -> None:
        self._dataset, self._columns = dataset, columns
        self._known: list[int] = [0] * len(columns)
        count = len(columns)
        self.slots = np.full((count, kernel.SLOTS), -1, np.int32)
        self.texts = np.zeros((count, kernel.WORD_LIMIT, 1 + kernel.WORD_BYTES), np.uint8)
        self.codes = np.zeros((count, kernel.WORD_LIMIT, 1 + kernel.CODE_BYTES), np.uint8)

    @property
    def count(self) -> int:
        """The number of columns."""
        return len(self._columns)

    def learn(self, cells: Mapping[str, pa.Array]) -> None:
        """Enter the new words of these cells (bytes), as far as there is room."""
        for number, name in enumerate(self._columns):
            texts = cells[name].unique()
            texts = texts.filter(pc.less_equal(pc.binary_length(texts), kernel.WORD_BYTES))
            if not len(texts) or self._known[number] == kernel.WORD_LIMIT:
                continue
            column = self._dataset.columns[name]
            values, faults = cast_column(texts, column, self._dataset.csv.nulls)
            good = np.ones(len(texts), dtype=bool)
            for fault in faults:
                good[fault.rows] = False
            codes = encode_column(values, name, self._dataset)
            for row in np.flatnonzero(good).tolist():
                self._enter(number, texts[row].as_py(), codes[row])

    def _enter(self, number: int, text: bytes, code: bytes) -> None:
        word, place = np.frombuffer(text, np.uint8), self._known[number]
        slot = -1 - kernel.find_word(word, number, self.slots, self.texts)
        if slot < 0 or place == kernel.WORD_LIMIT or len(code) > kernel.CODE_BYTES:
            return
        self.texts[number, place, 0], self.texts[number, place, 1 : 1 + len(word)] = len(word), word
        self.codes[number, place, 0], self.codes[number, place, 1 : 1 + len(code)] = (
            len(code),
            np.frombuffer(code, "u1"),
        )
        self.slots[number, slot], self._known[number] = place, place + 1
