"""build: wheels out of sources, for the projects that the manifest allows it for.

Nothing else in envc runs code of a package while it locks or bundles. A build happens on a copy of the sources, by an
interpreter of this machine in an environment that holds the locked build requirements and nothing else.
"""
