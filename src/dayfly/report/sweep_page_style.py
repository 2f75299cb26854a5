"""How the page of a sweep looks, and the one script that may run in it."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

_HERE = Path(__file__)
SCRIPT = _HERE.with_name("sweep_page.js").read_text(encoding="utf-8")
STYLE = _HERE.with_name("sweep_page.css").read_text(encoding="utf-8")

POLICY = (
    "default-src 'none'; img-src data:; style-src 'unsafe-inline'; "
    f"script-src 'sha256-{base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()}'; "
    "frame-src 'none'; object-src 'none'; base-uri 'none'; form-action 'none'"
)
"""As that of a notebook's page, but for the script above, which is allowed by its hash."""
