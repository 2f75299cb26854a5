"""What came out: one series of samples for each case and contender."""

from __future__ import annotations

import statistics
from collections.abc import Mapping
from dataclasses import dataclass

from benchmarks.process import Sample


@dataclass(frozen=True, kw_only=True)
class Series:
    """The samples of one command in one case, in the order in which they were taken."""

    samples: tuple[Sample, ...]

    @property
    def median_s(self) -> float:
        """Return the median time in seconds."""
        return statistics.median(sample.wall_s for sample in self.samples)

    @property
    def fastest_s(self) -> float:
        """Return the shortest time in seconds."""
        return min(sample.wall_s for sample in self.samples)

    @property
    def slowest_s(self) -> float:
        """Return the longest time in seconds."""
        return max(sample.wall_s for sample in self.samples)

    @property
    def peak_bytes(self) -> float:
        """Return the median of the peaks of all processes together."""
        return statistics.median(sample.peak.all_bytes for sample in self.samples)

    @property
    def peak_without_kernel_bytes(self) -> float:
        """Return the median of the peaks of all processes but the kernel."""
        return statistics.median(sample.peak.without_kernel_bytes for sample in self.samples)


#: By the names of case and contender.
Results = Mapping[tuple[str, str], Series]
