"""From a verified artifact to the files of a prefix. Nothing that was downloaded is ever executed here."""
