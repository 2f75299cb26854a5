"""Sequences that are too long to be made: each value is made when it is asked for."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar, overload

T = TypeVar("T")


@dataclass(frozen=True)
class MadeLater(Sequence[T], Generic[T]):
    """`size` values; the one at a place is `make(place)`, each time anew."""

    size: int
    make: Callable[[int], T]

    def __len__(self) -> int:
        return self.size

    @overload
    def __getitem__(self, index: int) -> T: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[T]: ...

    def __getitem__(self, index: int | slice) -> T | Sequence[T]:
        places = range(self.size)
        if isinstance(index, slice):
            return [self.make(place) for place in places[index]]
        return self.make(places[index])
