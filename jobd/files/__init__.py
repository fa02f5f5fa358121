"""jobd's files beside the database: where they are, how they are written, opened and removed."""
