"""Conformance tests under pytest.

Pytest loads `_plugin` in every session where the kit is installed: it, and this module, stay light.
"""
