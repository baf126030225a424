"""Labels as people write them, turned into what metrics take."""
