"""What a notebook records in a container whose environment has no dayfly."""

from __future__ import annotations

from tests.engine.test_runs import notebook, run
from tests.helpers import Place, output_of, text_of

RECORDS = """\
import dayfly, sys
print(dayfly.__file__.startswith(sys.path[-1]), sys.prefix)
dayfly.record("rmse", 0.25)
"""


def test_a_container_without_dayfly_records(project: Place) -> None:
    notebook(project, "records", RECORDS)
    found = run(project, "records")
    assert text_of(output_of(found)["cells"][0]) == "True /opt/venv\n"
    assert found.result is not None
    assert found.result.records == {"rmse": 0.25}
