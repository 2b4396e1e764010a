"""One module per verb, with the stages that it runs, in order."""
