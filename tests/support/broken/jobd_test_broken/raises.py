"""Its import raises."""

raise RuntimeError("no licence found")
