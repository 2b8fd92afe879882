"""What a genome of bit widths costs and is worth: measured cost tables, and a fast evaluator on the host."""
