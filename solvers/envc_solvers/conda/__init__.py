"""Solving for conda channels: versions, match specs, records, and the solver over them."""
