"""Texts, tables and figures of reports, the same in every format."""
