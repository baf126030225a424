"""The frozen values that packages pass to each other, and their JSON Schemas. They contain facts and no behavior.

    model ──optimize──> Evidence ──compile──> Bundle ──push──> Release ──bench, test──> Measurement ──check──> Verdict

Each is a `msgspec.Struct`, so that its JSON form is the one that `--json` prints and that files on disk have: keys in
the order of the fields, units in their names.
"""
