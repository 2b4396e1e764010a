"""One module per verb, which runs the stages of the verb in order."""
