"""The bundled adapters as subjects: what `make check` puts to the test.

They lie here and not beside the adapters, since adapters know nothing of the kit.
"""
