"""Prints how often each kind was classified correctly."""

import pandas as pd

table = pd.read_csv("out/predictions.csv")
hits = (table["kind"] == table["predicted"]).groupby(table["kind"]).mean()
print(hits.map("{:.0%}".format).to_string())
