"""Files for people and programs: HTML, JUnit, Markdown, CSV. One module a format."""
