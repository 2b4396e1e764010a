"""Servers, channels, wheels, stores and judges that tests share."""
