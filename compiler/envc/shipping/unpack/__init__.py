"""What an artifact unpacks to. Nothing of it is executed."""
