"""Lock graphs as text: complete, readable, reproducible byte for byte, with small diffs, no secrets and no hosts."""
