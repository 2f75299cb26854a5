"""Pictures and pages: an executed notebook as HTML, two of them compared."""
