"""Pictures of records and runs, one file a kind; each prepares its numbers apart from drawing them."""
