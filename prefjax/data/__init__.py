"""From files to batches: sources -> records -> rows -> batches."""
