"""The stages after the lock: pack, ship, hydrate, run and verify."""
