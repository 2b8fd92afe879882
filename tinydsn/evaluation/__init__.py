"""What a model is worth: the committed test list, scores of files, intervals, and comparisons."""
