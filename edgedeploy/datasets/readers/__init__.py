"""Readers of data as people have it: one module each, which declares `READER`. Nothing else is changed to add one."""
