"""The frozen values that the rooms hand to each other. They hold facts; they do nothing.

    model ──optimize──> Evidence ──compile──> Bundle ──push──> Release ──bench, test──> Measurement ──check──> Verdict

Each is a `msgspec.Struct`, so that its JSON form is the one that `--json` prints and that files on disk have: keys in
the order of the fields, units in their names.
"""
