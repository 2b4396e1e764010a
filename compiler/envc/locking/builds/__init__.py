"""builds: wheels built from source, for the projects that the manifest allows to be built.

Nothing else in envc runs code of a package while it locks or bundles. A build runs on a copy of the sources, with an
interpreter of this machine, in an environment that holds the locked build requirements and nothing else.
"""
