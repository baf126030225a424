"""The demo: the whole way with a trained model out of a package, on data that is drawn here."""
