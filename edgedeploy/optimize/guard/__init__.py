"""The guard: refuses a result that does not load, lost accuracy, grew or became slower."""
