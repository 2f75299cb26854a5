"""A new project: its files, made from templates and from what is there already."""

from __future__ import annotations

from dayfly.project.scaffold.files import DEFAULT_BASE, File, plan_files
from dayfly.project.scaffold.write import Step, begin_repository, write_files

__all__ = ["DEFAULT_BASE", "File", "Step", "begin_repository", "plan_files", "write_files"]
