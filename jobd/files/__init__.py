"""jobd's files beside the database: where they are, and how one is opened safely."""
