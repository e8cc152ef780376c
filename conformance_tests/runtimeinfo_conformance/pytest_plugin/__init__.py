"""Conformance tests under pytest.

`_plugin` is loaded in every session of whoever has installed the kit: it, and this, stay light.
"""
