"""Faults that a rehearsal can meet: `list_faults()`; `arrange(...)` lets one happen at its moment."""

from dayfly.rehearsal.faults.arrange import Arranged, arrange
from dayfly.rehearsal.faults.catalogue import find_fault, list_faults
from dayfly.rehearsal.faults.fault import Fault, Moment, parse_moment

__all__ = ["Arranged", "Fault", "Moment", "arrange", "find_fault", "list_faults", "parse_moment"]
