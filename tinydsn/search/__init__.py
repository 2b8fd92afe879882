"""The genetic search for bit widths: genes, NSGA-II, the journal of a run, and who evaluates.

What a genome is worth is asked of an `Evaluator`; everything here is the same for any of them.
"""
