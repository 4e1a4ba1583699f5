"""What must be said alike in two places: checks that read both and yield what does not fit, in words.

Each takes a `Repo`, the working copy or one that a test has changed: a check that says nothing about a change it should
notice is worth nothing, so each has negative twins in test_consistency.py.
"""
