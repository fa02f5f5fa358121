"""An import that kills its worker, or its daemon, between two commits of the target."""
