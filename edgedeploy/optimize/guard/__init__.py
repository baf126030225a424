"""The guard: no result leaves that does not load, lost its accuracy, grew or became slower."""
