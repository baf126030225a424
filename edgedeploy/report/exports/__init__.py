"""Report files: HTML, JUnit, Markdown, CSV. One module per format."""
