"""One module per verb: the stages it runs, in order."""
